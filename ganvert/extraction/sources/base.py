"""The contract of a source: one input, which lists its pictures and reads them one by one."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar, NamedTuple

from ganvert.base.errors import PhotoError
from ganvert.faces.listing import is_photo_name, kind_of_name, read_regular

__all__ = ["Entry", "FileSource", "Source", "content_id", "fetch", "picture_name", "stamp_of"]

SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system ticks every 2 s (FAT)


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
    def read(self, locator: str) -> bytes:
        """Return a picture's bytes. Call it through :func:`fetch`.

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

    def read(self, locator: str) -> bytes:
        return read_regular(self.file(locator))


def fetch(source: Source, locator: str) -> bytes:
    """Return a picture's bytes.

    Raises:
        PhotoError: the reason, without the picture's name or any path, so that it is the same on all machines.
    """
    try:
        return source.read(locator)
    except source.errors as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise PhotoError(f"cannot be read: {reason}") from error


def content_id(data: bytes, image_id: str | None = None) -> str:
    """Return the sha256 of a picture's bytes, in hex; for a crop that brings an id, of the id and the bytes."""
    return hashlib.sha256(data if image_id is None else image_id.encode() + b"\0" + data).hexdigest()


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
    path = PurePosixPath(name.replace("\\", "/"))
    if any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in path.parts):
        return None
    if not is_photo_name(name):
        skipped[kind_of_name(name)] += 1
        return None
    return str(path)
