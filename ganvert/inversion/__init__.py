"""Photographs to codes: objectives, the optimisation loop, and methods that are presets of it.

The package may import `encoders` and what lies below; it knows nothing of tables, files of codes or edits.
"""
