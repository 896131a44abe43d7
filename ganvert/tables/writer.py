"""Write a table: rows in any portions, the same bytes for the same rows, the whole file or none."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ganvert.base.errors import TableError
from ganvert.base.files import atomic_path
from ganvert.tables.schemas import Table, columns_text, group_rows
from ganvert.tables.vectors import arrow_column

__all__ = ["Writer", "storage_options", "write"]

Row = Mapping[str, Any]
#: More than any row group: a column of a row group is one page, so that its vectors lie in the file one after another.
_PAGE_BYTES = 1 << 30


def write(path: Path, table: Table, rows: Iterable[Row], metadata: Mapping[str, str] | None = None) -> None:
    """Write a table in the order of the rows, the whole file or none.

    Args:
        path: the Parquet file.
        table: its schema.
        rows: mappings of column name to value; vectors may be numpy arrays or lists.
        metadata: strings that name what made the table; nothing that differs between equal runs.

    Raises:
        TableError: a value does not fit, or the key is not unique.
    """
    with Writer(path, table, metadata) as out:
        out.add(rows)


class Writer:
    """Writes a table while its rows come: ``with Writer(path, table) as out: out.add(rows)``.

    The file appears when the block ends without an error. Its bytes depend on schema, metadata and rows alone, not on
    the portions in which the rows were added, nor on whether they were mappings or Arrow tables. In memory are less
    than one row group and 8 bytes a row for the check of the key.
    """

    def __init__(self, path: Path, table: Table, metadata: Mapping[str, str] | None = None) -> None:
        """See :func:`write` for the arguments."""
        self.path, self.table = Path(path), table
        self.schema = table.schema(metadata)
        self._group = group_rows(self.schema)
        self._waiting: list[pa.Table] = []
        self._keys = array("q")  # a hash per row: the keys of a million rows need not fit in memory

    def __enter__(self) -> Writer:
        with ExitStack() as stack:
            self._temporary = stack.enter_context(atomic_path(self.path))
            self._file = stack.enter_context(
                pq.ParquetWriter(self._temporary, self.schema, **storage_options(self.schema))
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            stack.push(self._stack)
            if error is None:
                self._flush(last=True)
                self._file.close()
                self._check_keys()
            else:
                stack.pop_all().__exit__(kind, error, trace)

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows as mappings of column name to value.

        Raises:
            TableError: a value does not fit.
        """
        rows = iter(rows)
        while portion := list(islice(rows, self._group)):
            self.add_table(self._arrow(portion))

    def add_table(self, data: pa.Table) -> None:
        """Add the rows of an Arrow table with these columns; its metadata are ignored.

        Raises:
            TableError: the columns are not those of the table, or a value is missing.
        """
        if data.schema.names != self.schema.names or data.schema.types != self.schema.types:
            raise TableError(
                f"{self.path}: table {self.table.name!r} wants {columns_text(self.schema)}, "
                f"got {columns_text(data.schema)}"
            )
        for field in self.schema:
            if not field.nullable and data.column(field.name).null_count:
                raise TableError(f"{self.path}: column {field.name!r} of {self.table.name!r} may not be null")
        self._keys.extend(self._hashes(data))
        self._waiting.append(pa.Table.from_arrays(data.columns, schema=self.schema))
        self._flush()

    def _arrow(self, rows: list[Row]) -> pa.Table:
        names = self.schema.names
        for row in rows:
            if set(row) != set(names):
                raise TableError(f"{self.path}: table {self.table.name!r} wants columns {names}, got {list(row)}")
        try:
            columns = [arrow_column([row[field.name] for row in rows], field.type) for field in self.schema]
        except (ValueError, TypeError, OverflowError) as error:  # Arrow's own errors are among them
            raise TableError(f"{self.path}: a row does not fit table {self.table.name!r}: {error}") from error
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _flush(self, *, last: bool = False) -> None:
        """Write the full row groups that wait, at the end (`last`) also the rest."""
        waiting = sum(map(len, self._waiting))
        full = waiting if last else waiting - waiting % self._group
        if not full:
            return
        data = pa.concat_tables(self._waiting)
        for first in range(0, full, self._group):
            part = data.slice(first, min(self._group, full - first)).combine_chunks()
            self._file.write_table(part, row_group_size=self._group)
        self._waiting = [data.slice(full)] if full < len(data) else []

    def _hashes(self, data: pa.Table) -> Iterator[int]:
        # The hash of the text, because Python's hashes of the numbers -1 and -2 are equal.
        return (
            hash(repr(key)) for key in zip(*(data.column(name).to_pylist() for name in self.table.key), strict=True)
        )

    def _check_keys(self) -> None:
        hashes = np.sort(np.frombuffer(self._keys, np.int64))
        doubled = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        if not doubled:
            return
        names = list(self.table.key)
        keys = pq.read_table(self._temporary, columns=names)
        first = next(i for i, key_hash in enumerate(self._hashes(keys)) if key_hash in doubled)
        double = tuple(keys.slice(first, 1).to_pylist()[0].values())
        raise TableError(f"{self.path}: key {','.join(names)} is not unique in {self.table.name!r}: {double}")


def storage_options(schema: pa.Schema) -> dict[str, Any]:
    """Return the options of `pyarrow.parquet.ParquetWriter`: encoding and compression per column.

    The bytes of floats and of PNG files hardly shrink: those of vectors by 16 % when they are split into streams that
    zstd compresses. So they are stored as they are, which :func:`ganvert.tables.pages.plain_vectors` reads many times
    faster, and all other columns are compressed. Measured with benchmarks/reading.py.
    """
    raw: list[str] = []
    small: list[str] = []
    for field in schema:
        if pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
            raw.append(f"{field.name}.list.{field.type.value_field.name}")
        else:
            (raw if pa.types.is_binary(field.type) else small).append(field.name)
    codecs = dict.fromkeys(raw, "none") | dict.fromkeys(small, "zstd")
    return {
        "compression": codecs,
        "use_dictionary": small,
        "write_statistics": small,
        "data_page_size": _PAGE_BYTES,
    }
