"""Errors, parameters, registries, files and seeds: what every module uses. Imports nothing of ganvert and no torch."""
