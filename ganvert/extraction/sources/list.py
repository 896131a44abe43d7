"""Lists of picture files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar, TextIO

from ganvert.base.errors import InputError
from ganvert.extraction.sources.base import Entry, FileSource

__all__ = ["PathList"]


class PathList(FileSource):
    """A list of files: .txt with a path a line, .csv or .jsonl with a column `path`; relative to the list's folder."""

    _READ: ClassVar[dict[str, Callable[[TextIO], Iterator[str]]]] = {
        ".txt": lambda lines: (line.rstrip("\r\n") for line in lines),
        ".csv": lambda lines: (row["path"] for row in csv.DictReader(lines)),
        ".jsonl": lambda lines: (json.loads(line)["path"] for line in lines if line.strip()),
    }

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.suffix.lower() in cls._READ

    def members(self) -> Iterator[Entry]:
        number = 0
        try:
            # utf-8-sig: spreadsheets write a byte order mark. surrogateescape: file names need not be UTF-8.
            with Path(self.path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
                for name in self._READ[Path(self.path).suffix.lower()](lines):
                    number += 1
                    if name:
                        yield Entry(str(PurePosixPath(name)), name)
        except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
            raise InputError(
                f"{self.path}: cannot be read as a list after {number} names ({error!r}); wanted .txt with a path a "
                "line, or .csv or .jsonl with a column (key) 'path'"
            ) from error

    def file(self, locator: str) -> str:
        return str(Path(self.path).parent / locator)

    def mount(self) -> str:
        return str(Path(self.path).parent)
