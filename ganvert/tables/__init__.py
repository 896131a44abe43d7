"""Every table that ganvert writes: schema, key and version, checked on write and again on read.

All are Parquet in row groups of a few MB; anything that reads Parquet opens them. Image bytes are PNG (lossless).
The package may import `base`.
"""

from __future__ import annotations

from ganvert.tables.reader import Lookup, batches, count, read, rows, schema_of
from ganvert.tables.schemas import (
    ALIGNED,
    DIRECTIONS,
    EDIT_SCORES,
    EDITS,
    PHOTOS,
    RECONSTRUCTIONS,
    SCORES,
    STUDY_COMPARISONS,
    STUDY_ORDERS,
    STUDY_PICTURES,
    STUDY_SCORES,
    STUDY_SUMMARY,
    Table,
    codes_table,
    group_rows,
    metadata_of,
    samples_table,
)
from ganvert.tables.vectors import array, arrow_vectors
from ganvert.tables.writer import Writer, write

__all__ = [
    "ALIGNED",
    "DIRECTIONS",
    "EDITS",
    "EDIT_SCORES",
    "PHOTOS",
    "RECONSTRUCTIONS",
    "SCORES",
    "STUDY_COMPARISONS",
    "STUDY_ORDERS",
    "STUDY_PICTURES",
    "STUDY_SCORES",
    "STUDY_SUMMARY",
    "Lookup",
    "Table",
    "Writer",
    "array",
    "arrow_vectors",
    "batches",
    "codes_table",
    "count",
    "group_rows",
    "metadata_of",
    "read",
    "rows",
    "samples_table",
    "schema_of",
    "write",
]
