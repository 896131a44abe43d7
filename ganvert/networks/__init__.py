"""Layers that several networks share: mapping, modulated and fast convolutions, given padding; ResNet-18 and BiSeNet.

The package may import `compute` and what lies below.
"""
