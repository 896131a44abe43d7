"""Edits of codes, their pictures, and pasting them back. Imports codes, directions and faces."""
