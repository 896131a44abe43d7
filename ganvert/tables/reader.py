"""Read a table back, whole, in pieces or by key, after a check that it is the one this code writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ganvert.base.errors import TableError
from ganvert.base.files import kind_of_file
from ganvert.tables.facts import ColumnFacts
from ganvert.tables.pages import plain_vectors
from ganvert.tables.schemas import Table, check_schema, columns_text, group_rows

__all__ = ["UNREADABLE", "Lookup", "batches", "count", "open_table", "read", "rows", "schema_of"]

#: What Arrow raises for damaged files: its own errors, and those of text that is not UTF-8 and of impossible sizes.
UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)


def read(path: Path, table: Table | str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table and check that it is the one this code writes.

    Args:
        path: the Parquet file.
        table: its schema; or a name for tables whose columns depend on the run (``"codes"``, ``"samples"``),
            where only name and version are checked.
        columns: names of the columns to read; all by default.

    Raises:
        TableError: missing, damaged, or another schema.
    """
    with open_table(path, table, columns) as (file, source):
        try:
            facts = ColumnFacts(file, source.size())
            groups = [_group(file, source, facts.of(i), i, columns) for i in range(file.num_row_groups)]
            return pa.concat_tables(groups) if groups else file.read(columns=columns and list(columns))
        except UNREADABLE as error:
            raise _damaged(path, error) from error


def schema_of(path: Path, table: Table | str) -> pa.Schema:
    """Return the schema of a table with its metadata (see :func:`metadata_of`); raises as :func:`read` does."""
    with open_table(path, table) as (file, _):
        return file.schema_arrow


def count(path: Path, table: Table | str) -> int:
    """Return the number of rows of a table without reading them; raises as :func:`read` does."""
    with open_table(path, table) as (file, _):
        return int(file.metadata.num_rows)


def batches(
    path: Path, table: Table | str, columns: Sequence[str] | None = None, batch: int = 64
) -> Iterator[pa.RecordBatch]:
    """Yield a table in pieces, in order, with one row group in memory.

    Args:
        path: the Parquet file.
        table: see :func:`read`.
        columns: see :func:`read`.
        batch: most rows of a piece; a piece does not cross row groups.

    Raises:
        TableError: see :func:`read`.
    """
    with open_table(path, table, columns) as (file, source):
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        try:
            # Larger groups are not from Writer: another program may have put all rows into one.
            if max(sizes, default=0) > group_rows(file.schema_arrow):
                for part in file.iter_batches(batch, columns=columns and list(columns)):
                    part.validate(full=True)
                    yield part
                return
            facts = ColumnFacts(file, source.size())
            for number in range(file.num_row_groups):
                yield from _group(file, source, facts.of(number), number, columns).to_batches(batch)
        except UNREADABLE as error:
            raise _damaged(path, error) from error


def rows(path: Path, table: Table | str, columns: Sequence[str], batch: int = 64) -> Iterator[dict[str, Any]]:
    """Yield some columns of a table row by row, with one row group of them in memory.

    Raises:
        TableError: see :func:`read`.
    """
    for part in batches(path, table, columns, batch):
        try:
            values = part.to_pylist()
        except UNREADABLE as error:
            raise _damaged(path, error) from error
        yield from values


class Lookup:
    """Rows of a table by their key. In memory are all keys and the row group that was used last.

    Fast when keys are looked up about in the table's order. A context manager.
    """

    def __init__(self, path: Path, table: Table | str, key: str, columns: Sequence[str]) -> None:
        """Read the keys.

        Args:
            path: the Parquet file.
            table: see :func:`read`.
            key: a text column whose values are unique.
            columns: the columns of a row to return.

        Raises:
            TableError: see :func:`read`.
        """
        self.path, self.columns = path, [*columns]
        self._place: dict[str, tuple[int, int]] = {}
        with ExitStack() as stack:
            self._file, _ = stack.enter_context(open_table(path, table, [*self.columns, key]))
            for group in range(self._file.num_row_groups):
                ids = self._read(group, [key]).column(key).to_pylist()
                self._place |= {name: (group, i) for i, name in enumerate(ids)}
            self._stack = stack.pop_all()
        self._last: tuple[int, pa.Table] | None = None

    def __enter__(self) -> Lookup:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the row of that key; raise TableError when there is none."""
        if key not in self._place:
            raise TableError(f"{self.path}: there is no row {key!r}; the tables are of different runs: run `dvc repro`")
        group, row = self._place[key]
        if self._last is None or self._last[0] != group:
            self._last = group, self._read(group, self.columns)
        return dict(self._last[1].slice(row, 1).to_pylist()[0])

    def _read(self, group: int, columns: list[str]) -> pa.Table:
        try:
            data = self._file.read_row_group(group, columns=columns)
            data.validate(full=True)
        except UNREADABLE as error:
            raise _damaged(self.path, error) from error
        return data


def _group(
    file: pq.ParquetFile,
    source: pa.NativeFile,
    facts: Sequence[pq.ColumnChunkMetaData],
    number: int,
    columns: Sequence[str] | None,
) -> pa.Table:
    """Read some columns of a row group: vectors from their page where possible, the others through Arrow."""
    schema, rows = file.schema_arrow, file.metadata.row_group(number).num_rows
    vectors: dict[str, pa.Array | None] = {}
    for name in schema.names if columns is None else columns:
        i = schema.get_field_index(name)  # every field is one column of the file, a list's numbers too
        vectors[name] = plain_vectors(source, facts[i], schema.field(i).type, rows)
    others = file.read_row_group(number, columns=[name for name, array in vectors.items() if array is None])
    others.validate(full=True)  # offsets and UTF-8, which Arrow believes of a file without looking
    arrays = [others.column(name) if array is None else array for name, array in vectors.items()]
    return pa.Table.from_arrays(arrays, schema=pa.schema([schema.field(name) for name in vectors], schema.metadata))


@contextmanager
def open_table(
    path: Path, table: Table | str, columns: Sequence[str] | None = None
) -> Iterator[tuple[pq.ParquetFile, pa.NativeFile]]:
    """Open a table and check it; yields the Parquet file and the open file beneath, for reading pages.

    Both are of one open file, because another process may replace the table at `path` meanwhile.
    """
    name = table if isinstance(table, str) else table.name
    if not Path(path).exists():
        raise TableError(f"{path}: there is no such table; run `dvc repro` (or the command that writes {name!r}) first")
    with ExitStack() as stack:
        try:
            source = stack.enter_context(pa.OSFile(str(path)))
            file = stack.enter_context(pq.ParquetFile(source))
        except UNREADABLE as error:
            kind = kind_of_file(path) if Path(path).is_file() else "a folder"
            raise TableError(f"{path}: not a readable Parquet file: {kind or error}") from error
        check_schema(path, table, file.schema_arrow)
        if missing := set(columns or ()) - set(file.schema_arrow.names):
            raise TableError(f"{path}: wanted the column {min(missing)!r}, there are {columns_text(file.schema_arrow)}")
        yield file, source


def _damaged(path: Path, error: Exception) -> TableError:
    reason = " ".join(str(error).split())
    return TableError(f"{path}: damaged: {reason}; make it again: run `dvc repro` (or the command that writes it)")
