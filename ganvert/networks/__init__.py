"""Layers that several networks share: mapping, modulated and fast convolutions, given padding.

Imports `base` and `compute`.
"""
