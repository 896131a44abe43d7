"""Parquet tables of pictures, and ganvert's own tables of aligned crops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ganvert import tables
from ganvert.base.errors import InputError, PhotoError
from ganvert.extraction.sources.base import MAX_NAME, Entry, Source, reason_of
from ganvert.faces.listing import check_size
from ganvert.tables.facts import ColumnFacts

__all__ = ["AlignedTable", "Parquet"]

_IMAGES = ("crop", "image", "bytes", "jpg", "png")  # columns of image bytes, the first one counts
_NAMES = ("path", "name", "file_name", "filename", "image_id", "id", "key")  # columns of names, likewise
_ROWS = 1  # in memory: by a dictionary a file of kilobytes holds columns of gigabytes


class Parquet(Source):
    """A table with image bytes in a column, plain or as Hugging Face's {bytes, path}.

    A locator is a row group and a row in it. Reading goes forwards through a row group, because its pages cannot be
    entered in the middle; a step backwards starts the group again.
    """

    by_row = True
    errors = (OSError, ValueError, pa.ArrowException)

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._file: pq.ParquetFile | None = None
        self._rows: Iterator[Any] = iter(())
        self._next = (-1, 0)  # row group and row that `_rows` yields next

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.suffix.lower() == ".parquet"

    def members(self) -> Iterator[Entry]:
        try:
            file = self._open()
            column = self._name_column(file.schema_arrow)
            number = 0
            if column is not None:
                self._check_names(file, column)
            for group in range(file.num_row_groups):
                for row, name in enumerate(_names(file, group, column)):
                    yield self._entry(f"{group}:{row}", name or str(number))
                    number += 1
        except self.errors as error:
            raise InputError(
                f"{self.path}: not a Parquet file that can be read ({reason_of(error)}); get it once more"
            ) from error

    def pieces(self, locator: str) -> Iterator[bytes]:
        group, row = map(int, locator.split(":"))
        file = self._open()
        try:
            if self._next[0] != group or self._next[1] > row:
                column = self._image_column(file.schema_arrow)
                batches = file.iter_batches(_ROWS, row_groups=[group], columns=[column])
                self._rows, self._next = (value for batch in batches for value in batch.column(0)), (group, 0)
            while self._next[1] <= row:
                value, self._next = next(self._rows, None), (group, self._next[1] + 1)
            if value is None:
                raise PhotoError("the table has lost this row")
        except BaseException:
            self._next = (-1, 0)
            raise
        data = value.as_py()
        if isinstance(data, dict):
            data = data["bytes"]
        if data is None:
            raise PhotoError("the table holds no bytes for it")
        check_size(len(data))
        yield bytes(data)

    def close(self) -> None:
        if self._file is not None:
            self._rows, self._next = iter(()), (-1, 0)
            self._file.close()
            self._file = None

    def _open(self) -> pq.ParquetFile:
        if self._file is None:
            # Without a buffer size whole columns of a row group are read at once.
            self._file = pq.ParquetFile(self.path, buffer_size=1 << 20)
        return self._file

    def _check_names(self, file: pq.ParquetFile, column: str) -> None:
        """Raise InputError if a column cannot be one of names: pages are read whole, and may hold gigabytes."""
        facts = ColumnFacts(file, Path(self.path).stat().st_size)
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            size = sum(part.total_uncompressed_size for part in facts.of(group) if part.path_in_schema == column)
            if size > MAX_NAME * (rows + 1):
                raise InputError(
                    f"{self.path}: wanted names in the column {column}, got {size} bytes in {rows} rows; "
                    "rename or shorten it"
                )

    def _entry(self, locator: str, name: str) -> Entry:
        return Entry(locator, name)

    def _image_column(self, schema: pa.Schema) -> str:
        usable = [field.name for field in schema if _is_bytes(field.type) or _is_bytes(_part(field.type, "bytes"))]
        known = [name for name in _IMAGES if name in usable] or (usable if len(usable) == 1 else [])
        if not known:
            raise InputError(
                f"{self.path}: wanted a column of image bytes ({', '.join(_IMAGES)}, or the only binary one), "
                f"got {', '.join(f'{field.name}: {field.type}' for field in schema)}"
            )
        return known[0]

    def _name_column(self, schema: pa.Schema) -> str | None:
        images = self._image_column(schema)
        if _is_text(_part(schema.field(images).type, "path")):
            return f"{images}.path"
        return next((name for name in _NAMES if name in schema.names and _is_text(schema.field(name).type)), None)


class AlignedTable(Parquet):
    """A table `aligned` that ganvert wrote: its crops, each under its own id."""

    @classmethod
    def takes(cls, path: Path) -> bool:
        try:
            return super().takes(path) and (pq.read_schema(path).metadata or {}).get(b"table") == b"aligned"
        except cls.errors:
            return False  # the plain class says what is wrong

    def _open(self) -> pq.ParquetFile:
        file = super()._open()
        if not file.schema_arrow.equals(tables.ALIGNED.schema()):
            raise InputError(f"{self.path}: not of the schema this code writes; align the photographs again")
        return file

    def _name_column(self, schema: pa.Schema) -> str:
        return "image_id"

    def _entry(self, locator: str, name: str) -> Entry:
        return Entry(locator, name, name)


def _names(file: pq.ParquetFile, group: int, column: str | None) -> Iterator[str | None]:
    """Yield the name of every row of a row group; None where it has none, or none that is of a name's length."""
    if column is None:
        yield from (None for _ in range(file.metadata.row_group(group).num_rows))
        return
    for batch in file.iter_batches(_ROWS, row_groups=[group], columns=[column]):
        for value in batch.column(0).to_pylist():
            name = value["path"] if isinstance(value, dict) else value
            yield name if name is None or len(name) <= MAX_NAME else None


def _part(kind: pa.DataType, name: str) -> pa.DataType | None:
    """Return the type of a field of a struct, or None."""
    return kind.field(name).type if pa.types.is_struct(kind) and kind.get_field_index(name) >= 0 else None


def _is_bytes(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_string(kind) or pa.types.is_large_string(kind))
