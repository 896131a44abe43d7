"""The steps of the pipeline: one thin module per DVC stage.

A stage may import the library, but neither flows, Prefect nor DVC.
"""
