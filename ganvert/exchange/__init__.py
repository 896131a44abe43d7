"""Codes, directions, encoders and generators of other tools, read and written. Nothing in a file is executed.

The package may import `directions` and what lies below.
"""
