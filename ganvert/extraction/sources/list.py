"""Lists of picture files."""

from __future__ import annotations

import codecs
import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar, TextIO

from ganvert.base.errors import InputError
from ganvert.extraction.sources.base import MAX_NAME, Entry, FileSource
from ganvert.faces.listing import is_photo_name

__all__ = ["PathList"]

_LINE = 1 << 20  # characters; a file without line ends may have gigabytes


class PathList(FileSource):
    """A list of files: .txt with a path a line, .csv or .jsonl with a column `path`; relative to the list's folder.

    In a .txt, lines that begin with # are notes, and so are lines that neither name an existing file nor end like a
    picture's name; they are counted.
    """

    _NOTED: ClassVar[str] = ".txt"
    _READ: ClassVar[dict[str, Callable[[Iterator[str]], Iterator[str]]]] = {
        _NOTED: lambda lines: (line.rstrip("\r\n") for line in lines),
        ".csv": lambda lines: (row["path"] for row in csv.DictReader(lines)),
        ".jsonl": lambda lines: (json.loads(line, parse_int=float)["path"] for line in lines if line.strip()),
    }

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.suffix.lower() in cls._READ

    def members(self) -> Iterator[Entry]:
        number, suffix = 0, Path(self.path).suffix.lower()
        try:
            # surrogateescape: file names need not be UTF-8.
            with Path(self.path).open(encoding=self._encoding(), errors="surrogateescape", newline="") as lines:
                for name in self._READ[suffix](_lines(lines)):
                    number += 1
                    if name and len(name) > MAX_NAME:
                        raise ValueError(f"a name of more than {MAX_NAME} characters")
                    if suffix == self._NOTED and name and self._is_note(name):
                        self.skipped["note" if name.strip() else "blank line"] += 1
                    elif name:
                        yield Entry(str(PurePosixPath(name)), name)
        except (OSError, ValueError, LookupError, TypeError, RecursionError, csv.Error) as error:
            raise InputError(
                f"{self.path}: cannot be read as a list after {number} names ({error!r}); wanted .txt with a path a "
                "line, or .csv or .jsonl with a column (key) 'path'"
            ) from error

    def _encoding(self) -> str:
        """Return the list's encoding by its byte order mark: that of Windows' editors, or UTF-8 with or without one."""
        with Path(self.path).open("rb") as file:
            head = file.read(4096)
        # UTF-32 first: its mark begins with that of UTF-16.
        if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            return "utf-32"
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if b"\0" in head:
            raise InputError(f"{self.path}: not text, or UTF-16 without a byte order mark; save it as UTF-8")
        return "utf-8-sig"

    def _is_note(self, name: str) -> bool:
        path = self.file(name)
        return (name.startswith("#") or not is_photo_name(name)) and not os.path.lexists(path)

    def file(self, locator: str) -> str:
        return str(Path(self.path).parent / locator)

    def mount(self) -> str:
        return str(Path(self.path).parent)


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_LINE):
        if len(line) == _LINE:
            raise ValueError(f"a line of {_LINE} characters or more")
        yield line
