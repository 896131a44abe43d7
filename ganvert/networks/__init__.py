"""Layers that several networks share: mapping, modulated and fast convolutions, given padding.

The package may import `compute` and what lies below.
"""
