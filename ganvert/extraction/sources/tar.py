"""Tar archives, read in place."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import logging
import lzma
import os
import re
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ganvert.base.errors import InputError, PhotoError, StorageError
from ganvert.base.files import atomic_path, sweep_locked
from ganvert.extraction.sources.base import Entry, Source, picture_name, pieces_of, reason_of, stamp_of
from ganvert.faces.listing import check_size

__all__ = ["Tar"]

log = logging.getLogger(__name__)
_RATIO = 50  # by which an archive of pictures may unfold; theirs do hardly, a crafted one does 1000 times
_SMALL = 1 << 28  # bytes to which any archive may unfold
_SPARSE = "sparse"  # locator of a member that does not lie in one piece
_HEADERS = 1 << 20  # bytes that the headers of a member may take; names and attributes of files are far shorter
_DIGITS = re.compile(rb"\d{256}")  # in a row: `tarfile` searches a header for numbers in time quadratic in their length
_OPEN: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".tgz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


class _Headers(io.BufferedReader):
    """The headers of an archive, of which `tarfile` by itself would read gigabytes, or without end.

    Attributes:
        left: how many bytes the headers of the member that is read may still take.
    """

    left = 0

    def read(self, size: int | None = -1, /) -> bytes:
        # A read behind the end costs too: some of the loops in `tarfile` end by an error only.
        self.left -= max(size or 0, tarfile.BLOCKSIZE)
        if self.left < 0:
            raise tarfile.ReadError(f"headers of more than {_HEADERS} bytes for one member")
        data = super().read(size)
        if _DIGITS.search(data):
            raise tarfile.ReadError("a number of more than 255 digits in a header")
        return data


class Tar(Source):
    """A tar archive. A locator is a member's offset and size.

    A compressed archive cannot be read in parts: it is unpacked to a plain one beside the catalogue.
    """

    errors = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, tarfile.TarError)
    _handle: BinaryIO | None = None

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.name.lower().endswith((".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2"))

    @classmethod
    def prepare(cls, path: Path, work: Path) -> Path:
        if path.suffix.lower() not in _OPEN:
            return path
        name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
        now = time.time_ns()
        stamp, _ = stamp_of(str(path), now)
        plain = work / "unpacked" / f"{name}-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.tar"
        # The unpacked file's own time says when the archive was read: by then its stamp must have been settled.
        if plain.exists() and stamp_of(str(path), plain.stat().st_mtime_ns)[1]:
            return plain
        log.info("%s: compressed as one piece: unpacked once to %s", path, plain)
        sweep_locked(plain.parent)  # nobody else unpacks here: the catalogue's lock is held
        with atomic_path(plain) as temporary:
            _unpack(path, temporary)
            os.utime(temporary, ns=(now, now))  # from before the archive was read, because it may change meanwhile
        for stale in set(plain.parent.glob(f"{name}-*.tar")) - {plain}:
            stale.unlink(missing_ok=True)
        return plain

    def members(self) -> Iterator[Entry]:
        try:
            with _Headers(io.FileIO(self.path)) as file:
                for info in _infos(file):
                    name = None if info.isdir() else picture_name(info.name, self.skipped)
                    if name is not None and info.isreg():  # links and devices have no bytes of their own
                        yield Entry(_SPARSE if info.issparse() else f"{info.offset_data}:{info.size}", name)
                    elif name is not None:
                        self.skipped["link" if info.issym() or info.islnk() else "special file"] += 1
        except Exception as error:  # tarfile raises all kinds of errors for damaged headers
            raise InputError(
                f"{self.path}: not a tar archive that can be read, or cut short ({reason_of(error)}); get it once more"
            ) from error

    def pieces(self, locator: str) -> Iterator[bytes]:
        if locator == _SPARSE:
            raise PhotoError("stored as a sparse file; pack the archive without --sparse")
        offset, size = map(int, locator.split(":"))
        if self._handle is None:
            self._handle = Path(self.path).open("rb")  # noqa: SIM115
        self._handle.seek(offset)
        for piece in pieces_of(self._handle, check_size(size)):
            size -= len(piece)
            yield piece
        if size:
            raise PhotoError("the archive is cut short")

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _unpack(path: Path, plain: Path) -> None:
    """Unpack a compressed archive.

    Raises:
        InputError: it is damaged, or unfolds to more than archives of pictures do.
        StorageError: there is no room for it.
    """
    left = most = max(_SMALL, _RATIO * path.stat().st_size)
    try:
        with _OPEN[path.suffix.lower()](path, "rb") as packed, plain.open("wb") as out:
            while piece := packed.read(1 << 20):
                left -= len(piece)
                if left < 0:
                    raise InputError(
                        f"{path}: unfolds to more than {most} bytes, which archives of pictures do not; "
                        "if it is sound, unpack it and give the folder"
                    )
                out.write(piece)
    except (EOFError, zlib.error, lzma.LZMAError, OSError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's fault, not the archive's
            raise StorageError(f"{path}: cannot be unpacked into {plain.parent}: {error.strerror}") from error
        raise InputError(f"{path}: damaged or cut short ({error}); get it once more") from error


def _infos(file: _Headers) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an archive.

    Raises:
        Exception: a header is damaged, or says what no archive says.
    """
    file.left, position = _HEADERS, 0
    with tarfile.open(fileobj=file, mode="r:") as archive:
        while (info := archive.next()) is not None:
            if archive.offset <= position:  # a negative size
                raise tarfile.ReadError(f"damaged at byte {position}")
            file.left, position = _HEADERS, archive.offset
            # It keeps every member otherwise, and what global headers say of those that follow, which is nothing here.
            archive.members.clear()  # type: ignore[attr-defined]
            archive.pax_headers = {}
            yield info
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes a damaged header for the end
            raise tarfile.ReadError(f"damaged at byte {archive.offset}")
