"""Errors, parameters, registries, files, seeds and provenance: what every module uses.

The package may import nothing else of ganvert, and no torch.
"""
