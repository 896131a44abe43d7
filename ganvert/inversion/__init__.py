"""Photographs to codes: objectives, the optimisation loop, and methods that are presets of it.

Imports generators, spaces, losses, encoders and discriminators, and knows nothing of tables, files of codes or edits.
"""
