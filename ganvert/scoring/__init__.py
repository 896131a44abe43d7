"""How good pictures are: metrics, scores as table rows, statistics. Imports faces, losses and tables."""
