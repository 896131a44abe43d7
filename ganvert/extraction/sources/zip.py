"""Zip archives, read by `zipfile`."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ganvert.base.errors import InputError, PhotoError
from ganvert.extraction.sources.base import Entry, Source, picture_name, pieces_of, reason_of
from ganvert.faces.listing import check_size

__all__ = ["Zip"]

# The methods that `zipfile` stops unpacking at the promised size: a few bytes of bzip2 may unfold to gigabytes first.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENTRY = b"PK\x01\x02"  # starts an entry of the directory
_MOST_MEMBERS = 1 << 20
_MOST_BYTES = 1 << 27  # of the directory: 128 bytes for each of as many members
_UTF8 = 0x800  # flag of a member whose name is stored as UTF-8
_TOO_LARGE = (
    f"zip archives of up to {_MOST_MEMBERS} members are read, with {_MOST_BYTES >> 20} MB of names and attributes; "
    "pack the pictures as .tar or .parquet, or in several archives"
)


class _Bounded(io.BufferedReader):
    """An archive whose directory `zipfile` reads only if it fits into memory: it keeps an object of every entry.

    Attributes:
        opening: whether the directory is still to come; members are read afterwards.
    """

    opening = True

    def read(self, size: int | None = -1, /) -> bytes:
        # The directory is read at once. Its entries are counted before they are parsed: their number in the archive's
        # end record may be another one.
        if self.opening and size is not None and size > _MOST_BYTES:
            raise InputError(f"{self.name}: its directory has {size} bytes; {_TOO_LARGE}")
        data = super().read(size)
        if self.opening and (count := data.count(_ENTRY)) > _MOST_MEMBERS:
            raise InputError(f"{self.name}: its directory has {count} members; {_TOO_LARGE}")
        return data


class Zip(Source):
    """A zip archive, zip64 included. A locator is a member's place in the archive's directory.

    `zipfile` keeps the directory in memory while the archive is open: about 0.6 KiB a member (docs/scale.md).
    """

    errors = (OSError, EOFError, ValueError, struct.error, zlib.error, zipfile.BadZipFile)
    _archive: zipfile.ZipFile | None = None
    _file: _Bounded | None = None

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.suffix.lower() == ".zip"

    def members(self) -> Iterator[Entry]:
        try:
            infos = self._open().infolist()
        except (*self.errors, NotImplementedError) as error:
            raise InputError(
                f"{self.path}: not a zip archive that can be read, or cut short ({reason_of(error)}); get it once more"
            ) from error
        for place, info in enumerate(infos):
            # Not `is_dir`, which fails for an empty name.
            name = None if info.filename.endswith("/") else picture_name(_name_of(info), self.skipped)
            if name is not None and stat.S_ISLNK(info.external_attr >> 16):  # the upper half holds Unix modes
                self.skipped["link"] += 1
            elif name is not None:
                yield Entry(str(place), name)

    def pieces(self, locator: str) -> Iterator[bytes]:
        archive = self._open()
        try:
            info = archive.infolist()[int(locator)]
        except IndexError as error:
            raise PhotoError("the archive has lost this member") from error
        if info.flag_bits & 1:
            raise PhotoError("encrypted in the archive; unpack it with its password and give the folder")
        if info.compress_type not in _METHODS:
            raise PhotoError(f"packed by method {info.compress_type}, which is not read here; pack it by deflate")
        # The promised size, before unpacking a byte.
        check_size(info.file_size)
        try:
            with archive.open(info) as file:
                yield from pieces_of(file, info.file_size)  # without a size a bomb would unfold whole
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise PhotoError(f"damaged in the archive ({error})") from error

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> zipfile.ZipFile:
        if self._archive is None:
            self._file = _Bounded(io.FileIO(self.path))
            self._archive = zipfile.ZipFile(self._file)
            self._file.opening = False
        return self._archive


def _name_of(info: zipfile.ZipInfo) -> str:
    """Return a member's name; most tools write UTF-8 without its flag, which `zipfile` takes for code page 437."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename
