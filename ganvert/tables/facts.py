"""What a Parquet file says of its columns, read so that damage there is an error.

Arrow's Python library looks at a column's entry outside of what catches its C++ exceptions: an entry that contradicts
itself would end the process. Its readers check the same entry inside. A read that gets no bytes goes just so far.
"""

from __future__ import annotations

import contextlib
import io

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["ColumnFacts"]

_BUFFER = 4096  # with a buffer, pages are asked for after the entries of all columns


class ColumnFacts:
    """The entries of the columns of an open Parquet file.

    Args:
        file: the file.
        size: its bytes.
    """

    def __init__(self, file: pq.ParquetFile, size: int) -> None:
        self._file = file
        empty = pa.PythonFile(_NoPages(size), mode="r")
        self._checker = pq.ParquetFile(empty, metadata=file.metadata, buffer_size=_BUFFER)

    def of(self, group: int) -> list[pq.ColumnChunkMetaData]:
        """Return the entries of a row group, in the file's order of columns.

        Raises:
            OSError: one of them is damaged.
        """
        with contextlib.suppress(_PageWantedError):
            next(self._checker.iter_batches(1, row_groups=[group], use_threads=False), None)  # None without rows
        facts = self._file.metadata.row_group(group)
        return [facts.column(i) for i in range(facts.num_columns)]


class _PageWantedError(Exception):
    """All entries are sound, and the first page would be read now."""


class _NoPages(io.RawIOBase):
    """A file of a size whose bytes cannot be read."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, to: int, whence: int = io.SEEK_SET) -> int:
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + to
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        raise _PageWantedError
