"""Codes of images: one image's code, many of them, and the table that keeps them.

The package may import `inversion` and what lies below.
"""

from __future__ import annotations

from ganvert.codes.code import Code, Codes, codes_of_inversion
from ganvert.codes.names import names_of_images
from ganvert.codes.table import batches, read_codes, space_of, tuned_folder
from ganvert.codes.write import check_skip, code_rows, code_table, write_codes

__all__ = [
    "Code",
    "Codes",
    "batches",
    "check_skip",
    "code_rows",
    "code_table",
    "codes_of_inversion",
    "names_of_images",
    "read_codes",
    "space_of",
    "tuned_folder",
    "write_codes",
]
