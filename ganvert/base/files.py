"""Files that appear whole or not at all, and digests of files."""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import platform
import re
import shutil
import stat
import tempfile
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ganvert.base.errors import InputError, StorageError
from ganvert.base.texts import shortened

__all__ = [
    "OUTPUT_MARK",
    "atomic_folder",
    "atomic_path",
    "check_writable",
    "crc_of",
    "file_names",
    "kind_of_file",
    "mark_output",
    "open_memmap",
    "sha256_of",
    "sweep",
    "sweep_locked",
    "sweep_temporary",
    "sync",
    "temporary_prefix",
    "user_cache",
    "write_json",
]

#: How files begin that are often given in place of others, and what they are.
_KINDS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; fetch that with `git lfs pull`",
    b"<!doctype html": "a web page, not the file itself; download it again, from a page that asks to confirm by hand",
    b"<html": "a web page, not the file itself; download it again, from a page that asks to confirm by hand",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"\xff\xd8\xff": "a photograph (JPEG)",
    b"\x89PNG": "a picture (PNG)",
    b"PAR1": "a table (Parquet)",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive; unpack it first",
}

OUTPUT_MARK = ".ganvert-output"  # a file in every folder of results
#: Names of what processes write, and of their temporary folders: the machine and the process.
_MARK = r"(?P<machine>[0-9a-f]{8})-(?P<process>\d{1,10})-"
_PARTIAL, _TEMPORARY = re.compile(rf"\.{_MARK}[0-9a-f]{{8}}\.part(\.[^.]*)?$"), re.compile(rf"-{_MARK}[^-]*$")
_NAME_BYTES = 80  # two names and a few words stay below the 255 bytes that file systems allow
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

    A crash, a full disk, Ctrl-C or a power failure leaves the old file or none, never a part of the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: image and table writers choose their format by it.
    temporary = path.with_name(f".{_short(path.stem)}.{_owner()}-{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new sibling folder to write to; it becomes `path`, which must not exist, only if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{_short(path.name)}.{_owner()}-{uuid.uuid4().hex[:8]}.part")
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                sync(file)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _short(name: str) -> str:
    """Return the part of a name that its temporary names share; a long name leaves no room for more."""
    return shortened(name, 160, lambda text: len(os.fsencode(text)))


def _owner() -> str:
    """Return the mark of this process in the names of what it writes: its machine and its number."""
    return f"{_machine()}-{os.getpid()}"


def _machine() -> str:
    return f"{zlib.crc32(os.fsencode(platform.node())):08x}"


def sweep(folder: Path) -> None:
    """Delete what killed processes of this machine left half written in a folder; running ones keep theirs."""
    _sweep(folder, ".*.part*", _PARTIAL)


def sweep_locked(folder: Path, path: Path | None = None) -> None:
    """Delete files that killed processes of any machine left half written, where no running process writes.

    Args:
        folder: where they lie.
        path: of the one file there whose lock the caller holds; None if it holds the folder's.
    """
    names = ".*.part*" if path is None else f".{glob.escape(_short(path.stem))}.*.part{glob.escape(path.suffix)}"
    for entry in folder.glob(names):
        if _PARTIAL.search(entry.name):
            entry.unlink(missing_ok=True)


def temporary_prefix(name: str) -> str:
    """Return how temporary folders of this process begin, for :func:`sweep_temporary`."""
    return f"{name}-{_owner()}-"


def sweep_temporary(name: str, folder: Path | None = None) -> list[int]:
    """Delete temporary folders (:func:`temporary_prefix`) that killed processes of this user left on this machine.

    Args:
        name: what was given to :func:`temporary_prefix`.
        folder: where they are; the system's folder for them if None.

    Returns:
        The numbers of these processes.
    """
    return _sweep(Path(tempfile.gettempdir()) if folder is None else folder, f"{name}-*", _TEMPORARY)


def _sweep(folder: Path, names: str, marked: re.Pattern[str]) -> list[int]:
    killed = set[int]()
    for entry in folder.glob(names):
        mark = marked.search(entry.name)
        if mark is None or mark["machine"] != _machine() or psutil.pid_exists(int(mark["process"])):
            continue
        with suppress(FileNotFoundError):  # another process sweeps too
            facts = entry.lstat()
            if facts.st_uid != os.getuid():
                continue
            if stat.S_ISDIR(facts.st_mode):
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
            killed.add(int(mark["process"]))
    return sorted(killed)


def check_writable(path: Path, *, folder: bool, what: str) -> None:
    """Check that a file or folder can be written, without leaving a trace.

    Args:
        path: of a file, or of a folder to write files into; it need not exist.
        folder: whether it is a folder.
        what: what messages call it, such as ``--out``.

    Raises:
        InputError: the path is, or lies in, something of another kind.
        StorageError: the folder cannot be written to.
    """
    path = Path(path)
    if not folder and path.is_dir():
        raise InputError(f"{what}: {path} is a folder; wanted the name of a file")
    there = path if folder else path.absolute().parent
    while not there.exists():
        there = there.absolute().parent
    if not there.is_dir():
        raise InputError(f"{what}: {there} is a file; wanted a folder")
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise StorageError(f"{what}: {there} cannot be written to: {error.strerror}; name another folder") from error


def user_cache() -> Path:
    """Return the folder of what is kept for this user's later runs, ``~/.cache/ganvert``.

    Raises:
        StorageError: the user has no home folder.
    """
    try:
        return Path.home() / ".cache" / "ganvert"
    except RuntimeError as error:
        raise StorageError(
            "this user has no home folder to keep weights in; set HOME, or GANVERT_ASSETS to a folder for them"
        ) from error


def kind_of_file(path: Path) -> str:
    """Return in words what a file is, by its first bytes; empty if it is none of the usual mistakes."""
    with Path(path).open("rb") as handle:
        head = handle.read(64).lstrip()
    for start, kind in _KINDS.items():
        if head.lower().startswith(start.lower()):
            return kind
    return ""


def file_names(names: Iterable[str]) -> list[str]:
    """Return a name for each that may stand in names of files: bounded, and no two alike, also where case is ignored.

    >>> file_names(["me", "you", "Me", "a/b"])
    ['me', 'you', 'Me-2', 'a_b']
    """
    taken: set[str] = set()
    results = []
    for name in names:
        unicode = name.encode(errors="backslashreplace").decode()  # names of files need not be
        plain = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", unicode).strip(". ") or "_"
        result = short = shortened(plain, _NAME_BYTES, lambda text: len(text.encode()))
        number = 1
        while result.casefold() in taken:
            number += 1
            result = f"{short}-{number}"
        taken.add(result.casefold())
        results.append(result)
    return results


def sync(path: Path) -> None:
    """Have the system write a file or folder to the disk: a rename may reach it before the bytes do."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def crc_of(path: Path) -> int:
    """Return the CRC-32 of a file's bytes, read in pieces: a sum against accidents, several times as fast as sha256."""
    crc = 0
    with Path(path).open("rb") as handle:
        while piece := handle.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return crc


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, indented, with sorted keys, whole or not at all; figures that are not finite are null.

    JSON knows neither NaN nor Infinity: browsers and strict parsers refuse a whole file for one of them.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(_with_nulls(value), indent=2, sort_keys=True) + "\n")


def _with_nulls(value: Any) -> Any:
    """Return a value of JSON with None in place of every number that is not finite."""
    if isinstance(value, dict):
        return {key: _with_nulls(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
