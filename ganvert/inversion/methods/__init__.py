"""The inverters: optimisation, tuning of the generator, encoders alone, and chains of them.

A new method is one file and one line in the registry. The package may import `encoders` and what lies below.
"""
