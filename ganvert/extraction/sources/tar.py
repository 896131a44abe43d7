"""Tar archives, read in place."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import logging
import lzma
import os
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from ganvert.base.errors import InputError, PhotoError
from ganvert.base.files import atomic_path
from ganvert.extraction.sources.base import Entry, Source, picture_name, stamp_of
from ganvert.faces.listing import check_size

__all__ = ["Tar"]

log = logging.getLogger(__name__)
_SPARSE = "sparse"  # locator of a member that does not lie in one piece


class Tar(Source):
    """A tar archive. A locator is a member's offset and size.

    A compressed archive cannot be read in parts: it is unpacked to a plain one beside the catalogue.
    """

    errors = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, tarfile.TarError)
    _OPEN: ClassVar[dict[str, Callable[..., Any]]] = {
        ".gz": gzip.open,
        ".tgz": gzip.open,
        ".xz": lzma.open,
        ".bz2": bz2.open,
    }
    _handle: BinaryIO | None = None

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.name.lower().endswith((".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2"))

    @classmethod
    def prepare(cls, path: Path, work: Path) -> Path:
        opener = cls._OPEN.get(path.suffix.lower())
        if opener is None:
            return path
        name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
        now = time.time_ns()
        stamp, _ = stamp_of(str(path), now)
        plain = work / "unpacked" / f"{name}-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.tar"
        # The unpacked file's own time says when the archive was read: by then its stamp must have been settled.
        if plain.exists() and stamp_of(str(path), plain.stat().st_mtime_ns)[1]:
            return plain
        log.info("%s: compressed as one piece: unpacked once to %s", path, plain)
        with atomic_path(plain) as temporary:
            try:
                with opener(path, "rb") as packed, temporary.open("wb") as out:
                    while piece := packed.read(1 << 20):
                        out.write(piece)
                # From before the archive was read, because it may change meanwhile.
                os.utime(temporary, ns=(now, now))
            except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk's fault, not the archive's
                raise InputError(f"{path}: damaged or cut short ({error}); get it once more") from error
        for stale in set(plain.parent.glob(f"{name}-*.tar")) - {plain}:
            stale.unlink(missing_ok=True)
        return plain

    def members(self) -> Iterator[Entry]:
        try:
            with Path(self.path).open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
                while (info := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # it keeps every one otherwise
                    name = None if info.isdir() else picture_name(info.name, self.skipped)
                    if name is not None and info.isreg():  # links and devices have no bytes of their own
                        yield Entry(_SPARSE if info.issparse() else f"{info.offset_data}:{info.size}", name)
                    elif name is not None:
                        self.skipped["link" if info.issym() or info.islnk() else "special file"] += 1
                file.seek(archive.offset)
                if file.read(512).strip(b"\0"):  # tarfile takes a damaged header for the end
                    raise tarfile.ReadError(f"damaged at byte {archive.offset}")
        except self.errors as error:
            raise InputError(
                f"{self.path}: not a tar archive that can be read, or cut short ({error}); get it once more"
            ) from error

    def read(self, locator: str) -> bytes:
        if locator == _SPARSE:
            raise PhotoError("stored as a sparse file; pack the archive without --sparse")
        offset, size = map(int, locator.split(":"))
        if self._handle is None:
            self._handle = Path(self.path).open("rb")  # noqa: SIM115
        self._handle.seek(offset)
        data = self._handle.read(check_size(size))
        if len(data) != size:
            raise PhotoError("the archive is cut short")
        return data

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None
