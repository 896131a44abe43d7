"""Invert photographs: objectives, penalties, and the methods (optimisation, tuning, encoders, chains of them).

The package may import `encoders` and what lies below; it knows nothing of tables, files of codes or edits.
"""
