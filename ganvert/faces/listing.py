"""Photograph files below folders, and the bytes of one: only regular files, so that no entry blocks the others."""

from __future__ import annotations

import logging
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ganvert.base.errors import InputError, PhotoError
from ganvert.base.files import OUTPUT_MARK

__all__ = [
    "MAX_BYTES",
    "SUFFIXES",
    "check_output",
    "check_size",
    "find_photos",
    "is_photo_name",
    "kind_of_name",
    "open_regular",
    "read_regular",
    "skipped_text",
    "walk_photos",
]

log = logging.getLogger(__name__)

# HEIC is in the list although Pillow cannot read it without a plugin: such a photo becomes a row that says so.
SUFFIXES = frozenset(
    [
        *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg"),
        *(".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    ]
)
MAX_BYTES = 1 << 30  # of one picture: it is read into memory


def check_output(folder: Path, inputs: Iterable[Path | str]) -> None:
    """Raise InputError if a folder for pictures is one of the inputs that they are made from, or holds a photograph."""
    own = folder.resolve()
    for given in map(Path, inputs):
        place = given.resolve()
        if own == place or (own == place.parent and is_photo_name(given.name)):
            raise InputError(f"{folder}: holds {given}, so results do not go there; name another folder")


def find_photos(folders: Iterable[Path]) -> list[Path]:
    """Return all image files below the folders, sorted; hidden files and folders are skipped.

    Args:
        folders: folders (searched to any depth) or single files.

    Raises:
        InputError: a folder is missing or unreadable, or none of them holds a photo.
    """
    folders = [Path(folder) for folder in folders]
    photos: set[Path] = set()
    for folder in folders:
        if folder.is_dir():
            skipped = Counter[str]()
            photos.update(map(Path, walk_photos(folder, skipped)))
            if skipped:
                log.warning("%s: left out %s", folder, skipped_text(skipped))
        elif os.path.lexists(folder):
            photos.add(folder)
        else:
            raise InputError(f"{folder}: there is no such photograph or folder")
    if not photos:
        where = ", ".join(map(str, folders)) or "no folder given"
        raise InputError(f"no photos in {where}; put some there (known endings: {' '.join(sorted(SUFFIXES))})")
    return sorted(photos)


def is_photo_name(name: str) -> bool:
    """Return whether the file name ends in one of `SUFFIXES`, in either case."""
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 (for millions of names)


def kind_of_name(name: str) -> str:
    """Return the ending of a file name, for messages that count what was left out."""
    return os.path.splitext(name)[1].lower() or "no ending"  # noqa: PTH122 (for millions of names)


def skipped_text(skipped: Counter[str]) -> str:
    """Return what was left out of an input, for a message: at most ten kinds, the most frequent ones first."""
    kinds = [f"{count} {kind}" for kind, count in skipped.most_common(10)]
    kinds += ["..."] * (len(skipped) > 10)
    return f"{skipped.total()} that are not pictures by their names or kind ({', '.join(kinds)})"


def walk_photos(folder: Path | str, skipped: Counter[str] | None = None) -> Iterator[str]:
    """Yield the paths of the image files below a folder in arbitrary order; hidden ones are skipped.

    Links to files count; links to folders are not followed, so that loops of links do no harm.

    Args:
        folder: where to start.
        skipped: counts what is left out, except hidden entries: files by their ending, linked folders, and folders of
            results (:func:`ganvert.base.files.mark_output`).

    Raises:
        InputError: a folder cannot be read, or `folder` is one of results.
    """
    skipped = Counter() if skipped is None else skipped
    if (Path(folder) / OUTPUT_MARK).exists():
        raise InputError(
            f"{folder}: a folder of results, whose pictures are no photographs; name another one, or delete "
            f"{OUTPUT_MARK} in it to use them all the same"
        )
    folders = [str(folder)]
    while folders:
        path = folders.pop()
        if os.path.exists(f"{path}/{OUTPUT_MARK}"):  # noqa: PTH110 (for millions of folders)
            skipped["folder of results"] += 1
            continue
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_symlink() and Path(entry.path).is_dir():
                        skipped["linked folder"] += 1
                    elif is_photo_name(entry.name):
                        yield entry.path
                    else:
                        skipped[kind_of_name(entry.name)] += 1
        except OSError as error:
            raise InputError(f"{error.filename}: the photo folder cannot be read: {error.strerror}") from error


@contextmanager
def open_regular(path: Path | str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a photograph file; yield it and its size in bytes.

    Raises:
        PhotoError: not a regular file (reading a pipe or a device would never end), or larger than `MAX_BYTES`.
        OSError: it cannot be read.
    """
    # A pipe is opened without waiting for somebody to write into it.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise PhotoError("not a regular file")
        yield file, check_size(facts.st_size)


def read_regular(path: Path | str) -> bytes:
    """Return the bytes of a photograph file; for errors see :func:`open_regular`."""
    with open_regular(path) as (file, size):
        return file.read(size)


def check_size(size: int) -> int:
    """Return a number of bytes; raise PhotoError when a picture may not have so many."""
    if not 0 <= size <= MAX_BYTES:
        raise PhotoError(f"{size} bytes are more than a picture may have ({MAX_BYTES})")
    return size
