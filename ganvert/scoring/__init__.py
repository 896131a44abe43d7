"""How good pictures are: metrics, scores as table rows, statistics.

The package may import `codes` and what lies below.
"""
