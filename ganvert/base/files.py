"""Files that appear whole or not at all, and digests of files."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["OUTPUT_MARK", "atomic_path", "mark_output", "open_memmap", "sha256_of", "write_json"]

OUTPUT_MARK = ".ganvert-output"  # a file in every folder of results
_MARK_TEXT = "ganvert made the pictures here and takes none of them for photographs. Delete this file to let it.\n"


def mark_output(folder: Path) -> None:
    """Make a folder for pictures and mark it, so that no command takes what lies there or below for photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / OUTPUT_MARK
    if not mark.exists():
        mark.write_text(_MARK_TEXT)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a sibling name to write to; it becomes `path` only if the block succeeds.

    A crash, a full disk or Ctrl-C leaves the old file or none, never a part of the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: image and table writers choose their format by it.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, indented, with sorted keys, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def open_memmap(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """Open an array in a file for reading and writing; a file that does not exist yet is made of zeros."""
    if not path.exists():
        with atomic_path(path) as temporary:
            np.lib.format.open_memmap(str(temporary), "w+", dtype, shape).flush()
    return np.lib.format.open_memmap(str(path), "r+")
