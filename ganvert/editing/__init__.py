"""Edits of codes, their pictures, and pasting them back.

The package may import `directions` and what lies below.
"""
