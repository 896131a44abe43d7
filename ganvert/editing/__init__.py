"""Edits of codes: the contract, an edit a file, drawing them, and pasting edited faces back into photographs.

The package may import `directions` and what lies below.
"""
