"""The contract of a source: one input, which lists its pictures and reads them one by one."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, ClassVar, NamedTuple

from ganvert.base.errors import PhotoError
from ganvert.faces.listing import is_photo_name, kind_of_name, open_regular

__all__ = [
    "MAX_NAME",
    "Entry",
    "FileSource",
    "Source",
    "content_id",
    "fetch",
    "identify",
    "picture_name",
    "pieces_of",
    "reason_of",
    "stamp_of",
]

SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system ticks every 2 s (FAT)
MAX_NAME = 4096  # characters; no file system has longer paths, and thousands of names are in memory at a time
_PIECE = 1 << 20  # bytes that are read at once


class Entry(NamedTuple):
    """A picture as its source lists it.

    Attributes:
        locator: how the source finds it again.
        name: its name inside the source.
        image_id: of rows of an aligned table; None elsewhere.
    """

    locator: str
    name: str
    image_id: str | None = None


class Source(ABC):
    """One input. Lists its pictures one at a time, keeps none of them, and reads them by their locators.

    Nothing is ever written under a name that an archive holds. Threads may share a source unless it is `whole`.

    Attributes:
        whole: one file holds all pictures, and its stamp vouches for them; otherwise each picture is a file.
        by_row: pictures keep the source's order; otherwise they are sorted by name.
        errors: what the format's library raises for damaged data.
        skipped: counts what :meth:`members` left out since the source was made, hidden entries excepted.
    """

    whole: ClassVar[bool] = True
    by_row: ClassVar[bool] = False
    errors: ClassVar[tuple[type[Exception], ...]] = (OSError, ValueError)

    def __init__(self, path: str) -> None:
        self.path = path
        self.skipped: Counter[str] = Counter()

    @classmethod
    @abstractmethod
    def takes(cls, path: Path) -> bool:
        """Return whether an existing path is of this kind."""

    @classmethod
    def prepare(cls, path: Path, work: Path) -> Path:
        """Return what to read instead of `path`; may write into the folder `work`."""
        return path

    @abstractmethod
    def members(self) -> Iterator[Entry]:
        """Yield the pictures in the source's own order.

        Raises:
            InputError: the source as a whole is damaged or of an unknown form.
        """

    @abstractmethod
    def pieces(self, locator: str) -> Iterator[bytes]:
        """Yield a picture's bytes piece by piece. Call it through :func:`fetch` or :func:`identify`.

        Raises:
            PhotoError: why it cannot be read; or one of `errors`.
        """

    def file(self, locator: str) -> str:
        """Return the path of the file that holds the picture."""
        return self.path

    def mount(self) -> str:
        """Return the path to report when this input is not mounted on a machine."""
        return self.path

    def close(self) -> None:  # noqa: B027 (most sources keep nothing open)
        """Close open files; the next read opens them again."""


class FileSource(Source):
    """A source whose pictures are files of their own."""

    whole = False

    def pieces(self, locator: str) -> Iterator[bytes]:
        with open_regular(self.file(locator)) as (file, size):
            yield from pieces_of(file, size)


def fetch(source: Source, locator: str) -> bytes:
    """Return a picture's bytes.

    Raises:
        PhotoError: the reason, without the picture's name or any path, so that it is the same on all machines.
    """
    data = io.BytesIO()  # its value is not copied, as a joined list of pieces would be
    for piece in _pieces(source, locator):
        data.write(piece)
    return data.getvalue()


def identify(source: Source, locator: str, image_id: str | None = None) -> str:
    """Return the :func:`content_id` of a picture, without holding all of it; for errors see :func:`fetch`."""
    return _digest(_pieces(source, locator), image_id)


def content_id(data: bytes, image_id: str | None = None) -> str:
    """Return the sha256 of a picture's bytes, in hex; for a crop that brings an id, of the id and the bytes."""
    return _digest([data], image_id)


def reason_of(error: Exception) -> str:
    """Return what an error says, without the path that those of the system repeat."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def pieces_of(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield the next `size` bytes of a file in pieces; fewer where it ends."""
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece


def _pieces(source: Source, locator: str) -> Iterator[bytes]:
    """Yield a picture's bytes; whatever goes wrong is a PhotoError."""
    try:
        yield from source.pieces(locator)
    except source.errors as error:
        raise PhotoError(f"cannot be read: {reason_of(error)}") from error


def _digest(pieces: Iterable[bytes], image_id: str | None) -> str:
    digest = hashlib.sha256(b"" if image_id is None else image_id.encode() + b"\0")
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def stamp_of(path: str, now_ns: int) -> tuple[str, bool]:
    """Return a text that changes when a file does, and whether equal texts prove that it did not.

    They do not prove it when the file is so new that a later write could carry the same times, nor when its times lie
    in the future.

    Args:
        path: the file.
        now_ns: a time from before its bytes are read.

    Raises:
        PhotoError: not a regular file (reading a pipe would never end).
        OSError, ValueError: see :func:`os.stat`.
    """
    facts = os.stat(path)  # noqa: PTH116
    if not stat.S_ISREG(facts.st_mode):
        raise PhotoError("not a regular file")
    stamp = f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}"
    return stamp, now_ns - max(facts.st_mtime_ns, facts.st_ctime_ns) >= SETTLED_NS


def picture_name(name: str, skipped: Counter[str]) -> str | None:
    """Return the plain form of a name in an archive, or None if it is hidden or does not name a picture (counted)."""
    if len(name) > MAX_NAME:
        skipped[f"name of more than {MAX_NAME} characters"] += 1
        return None
    path = PurePosixPath(name.replace("\\", "/"))
    if any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in path.parts):
        return None
    if not is_photo_name(name):
        skipped[kind_of_name(name)] += 1
        return None
    return str(path)
