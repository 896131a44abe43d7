"""Columns of vectors to and from numpy arrays, without a Python number per element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ganvert.base.errors import TableError

__all__ = ["array", "arrow_column", "arrow_vectors"]


def array(data: pa.Table | pa.RecordBatch, column: str) -> np.ndarray:
    """Return a column of vectors as one float array [rows, size], without a copy where the column is one chunk.

    Raises:
        TableError: a row has no vector.
    """
    vectors = data.column(column)
    if vectors.null_count:
        raise TableError(f"column {column!r}: wanted a vector in every row, {vectors.null_count} rows have none")
    kind = data.schema.field(column).type
    whole = vectors.combine_chunks() if isinstance(vectors, pa.ChunkedArray) else vectors
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else (len(flat) // max(len(whole), 1))
    return flat.reshape(-1, size) if len(flat) else flat.reshape(0, size)


def arrow_vectors(values: np.ndarray, kind: pa.DataType, missing: Sequence[bool] = ()) -> pa.Array:
    """Return the rows of an array [N, size] as a column of fixed-size vectors.

    Args:
        values: floats of the type's own width are not copied.
        kind: the column's type.
        missing: rows that are null, whatever they hold.
    """
    flat = np.ascontiguousarray(values, kind.value_type.to_pandas_dtype()).reshape(-1)
    mask = pa.array(missing, pa.bool_()) if any(missing) else None
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type), type=kind, mask=mask)


def arrow_column(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Return one value per row as a column of a table.

    Args:
        values: Python values of the type, None for null; vectors may be numpy arrays of any shape or lists.
        kind: the column's type.

    Raises:
        ValueError: a vector has another size (Arrow's own errors are ValueError, TypeError and OverflowError).
    """
    if not pa.types.is_fixed_size_list(kind) and not pa.types.is_list(kind):
        return pa.array(values, kind)
    if not all(value is None or isinstance(value, np.ndarray) for value in values):
        values = [value.reshape(-1).tolist() if isinstance(value, np.ndarray) else value for value in values]
        return pa.array(values, kind)
    dtype = kind.value_type.to_pandas_dtype()
    if pa.types.is_list(kind):
        sizes = [0 if value is None else value.size for value in values]
        flat = np.concatenate([np.empty(0, dtype), *(value.reshape(-1) for value in values if value is not None)])
        mask = pa.array([value is None for value in values])
        offsets = pa.array(np.cumsum([0, *sizes]), pa.int32())
        return pa.ListArray.from_arrays(offsets, pa.array(flat.astype(dtype, copy=False)), kind, mask=mask)
    stacked = np.zeros((len(values), kind.list_size), dtype)
    for line, value in zip(stacked, values, strict=True):
        if value is not None:
            if value.size != kind.list_size:
                raise ValueError(f"a vector of {value.size} numbers, wanted {kind.list_size}")
            line[:] = value.reshape(-1)
    return arrow_vectors(stacked, kind, [value is None for value in values])
