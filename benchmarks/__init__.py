"""Measurements, each a ratio to a named baseline; run from the root of the project."""
