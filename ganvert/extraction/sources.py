"""Where pictures lie: folders, files, archives, tables, lists of names; one class a kind.

Names are met one at a time and never kept, and nothing is unpacked under a name that an archive holds.
"""

from __future__ import annotations

import bz2
import csv
import dataclasses
import gzip
import hashlib
import json
import logging
import lzma
import os
import stat
import struct
import tarfile
import time
import zlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, ClassVar, NamedTuple, Self, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from ganvert import tables
from ganvert.base.errors import InputError, PhotoError
from ganvert.base.files import atomic_path
from ganvert.base.registry import lookup
from ganvert.faces.photo import SUFFIXES, is_photo_name, walk_photos

__all__ = ["SOURCES", "Entry", "Member", "Reader", "Source", "content_id", "fetch", "kind_of", "stamp_of"]

log = logging.getLogger(__name__)
MAX_BYTES = 1 << 30  # of one picture: it is read into memory
SETTLED_NS = 2_000_000_000  # file systems' clocks tick as seldom as every 2 s (FAT)
_BROKEN = (OSError, EOFError, ValueError, struct.error, zlib.error, lzma.LZMAError, pa.ArrowException)


@dataclasses.dataclass(frozen=True)
class Member:
    """One picture, wherever it lies; plain data, so that it travels to workers as JSON.

    Attributes:
        source: absolute path of the folder, file, archive, table or list.
        kind: a name in `SOURCES`.
        path: what rows call it, e.g. `photos/a.jpg`, `faces.zip!a.jpg`, `faces.parquet!17`; valid Unicode.
        locator: how the source finds it again.
        photo_id: :func:`content_id`, 64 hex digits; of unreadable ones sha256 of "unreadable:" and the path.
        image_id: of rows of an aligned table.
        status: ok, or unreadable when it could not be read as it was listed.
        reason: empty when ok.
    """

    source: str
    kind: str
    path: str
    locator: str
    photo_id: str
    image_id: str | None = None
    status: str = "ok"
    reason: str = ""


class Entry(NamedTuple):
    """A picture as its source lists it."""

    locator: str
    name: str
    image_id: str | None = None


class Source(ABC):
    """One input. Lists its pictures, and reads them one by one; not shared between threads if `whole`."""

    whole: ClassVar[bool] = True  # one file holds all pictures and its stamp vouches for them; else each is a file
    by_row: ClassVar[bool] = False  # pictures keep the source's order; else they are sorted by name

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    @abstractmethod
    def takes(cls, path: Path) -> bool:
        """Whether an existing path is of this kind."""

    @classmethod
    def prepare(cls, path: Path, work: Path) -> Path:
        """What to read instead of `path`; may write into the folder `work`."""
        return path

    @abstractmethod
    def members(self) -> Iterator[Entry]:
        """The pictures, in the source's own order, none of them in memory.

        Raises:
            InputError: the source as a whole is damaged or of an unknown form.
        """

    @abstractmethod
    def read(self, locator: str) -> bytes:
        """A picture's bytes; PhotoError, or what the format's library raises, says why not (see :func:`fetch`)."""

    def file(self, locator: str) -> str:
        """The file that the picture is in."""
        return self.path

    def root(self) -> str:
        """What a machine without this input lacks."""
        return self.path

    def close(self) -> None:  # noqa: B027 (most sources keep nothing open)
        """Free what is open; it opens again when needed."""


def fetch(source: Source, locator: str) -> bytes:
    """A picture's bytes.

    Raises:
        PhotoError: why not, without the picture's name (nor any path: reasons are equal on all machines).
    """
    try:
        return source.read(locator)
    except _BROKEN as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise PhotoError(f"cannot be read: {reason}") from error


def content_id(data: bytes, image_id: str | None = None) -> str:
    """sha256 of a picture's bytes, hex; crops that bring an id are told apart by it too."""
    return hashlib.sha256(data if image_id is None else image_id.encode() + b"\0" + data).hexdigest()


def stamp_of(path: str, now_ns: int) -> tuple[str, bool]:
    """What changes when a file does, and whether equal stamps prove it unchanged.

    They do not when the file is so new that a later write could carry the same times, or when its times lie ahead.

    Args:
        path: the file.
        now_ns: a time from before its bytes are read.

    Raises:
        PhotoError: not a file (a pipe would keep its reader waiting for ever).
        OSError, ValueError: see :func:`os.stat`.
    """
    found = os.stat(path)  # noqa: PTH116
    if not stat.S_ISREG(found.st_mode):
        raise PhotoError("not a file")
    stamp = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"
    return stamp, now_ns - max(found.st_mtime_ns, found.st_ctime_ns) >= SETTLED_NS


def _sized(size: int) -> int:
    if size > MAX_BYTES:
        raise PhotoError(f"{size} bytes are more than a picture may have ({MAX_BYTES})")
    return size


class _Files(Source):
    """Pictures that are files of their own."""

    whole = False

    def read(self, locator: str) -> bytes:
        path = Path(self.file(locator))
        _sized(path.stat().st_size)
        return path.read_bytes()


class Folder(_Files):
    """All image files below a folder, hidden ones and archives excepted."""

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.is_dir()

    def members(self) -> Iterator[Entry]:
        for path in walk_photos(self.path):
            name = path[len(self.path.rstrip("/")) + 1 :]  # no Path objects: there may be millions
            yield Entry(name, name)

    def file(self, locator: str) -> str:
        return locator if self.path == "." else f"{self.path.rstrip('/')}/{locator}"


class File(_Files):
    """One image file."""

    @classmethod
    def takes(cls, path: Path) -> bool:
        return is_photo_name(path.name)

    def members(self) -> Iterator[Entry]:
        yield Entry("", self.path)

    def root(self) -> str:
        return str(Path(self.path).parent)


class Manifest(_Files):
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

    def root(self) -> str:
        return str(Path(self.path).parent)


def _picture_name(name: str) -> str | None:
    """The name of an archive's member in plain form; None if it is not a picture, or hidden."""
    if not is_photo_name(name):
        return None
    path = PurePosixPath(name.replace("\\", "/"))
    hidden = any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in path.parts)
    return None if hidden else str(path)


class _Archive(Source):
    """Pictures that are pieces of one file."""

    _handle: BinaryIO | None = None

    def at(self, offset: int, size: int) -> bytes:
        """A piece of the file."""
        if self._handle is None:
            self._handle = Path(self.path).open("rb")  # noqa: SIM115
        self._handle.seek(offset)
        data = self._handle.read(_sized(size))
        if len(data) != size:
            raise PhotoError("the archive is cut short")
        return data

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class Zip(_Archive):
    """A zip archive, zip64 included, read by its directory, which zipfile would hold in memory as objects.

    Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3.
    """

    # method: data, size -> data; one byte more than promised is enough to see that the promise was false
    _METHODS: ClassVar[dict[int, Callable[[bytes, int], bytes]]] = {
        0: lambda data, size: data,
        8: lambda data, size: zlib.decompressobj(-15).decompress(data, size + 1),
        12: lambda data, size: bz2.BZ2Decompressor().decompress(data, size + 1),
    }

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.suffix.lower() == ".zip"

    def members(self) -> Iterator[Entry]:
        try:
            with Path(self.path).open("rb") as file:
                start, end, before = self._directory(file)
                file.seek(start)
                while file.tell() < end:
                    if entry := self._entry(file, before):
                        yield entry
        except (*_BROKEN, PhotoError) as error:
            raise InputError(
                f"{self.path}: not a zip archive that can be read, or cut short ({error}); get it once more"
            ) from error

    def read(self, locator: str) -> bytes:
        offset, packed, size, crc, method, flags = map(int, locator.split(":"))
        if flags & 1:
            raise PhotoError("encrypted in the archive; unpack it with its password and give the folder")
        if method not in self._METHODS:
            raise PhotoError(f"packed by method {method}, which is not known here; pack it by deflate")
        signature, name, extra = struct.unpack("<4s22x2H", self.at(offset, 30))
        if signature != b"PK\3\4":
            raise PhotoError("damaged in the archive (no header where its directory says)")
        data = self._METHODS[method](self.at(offset + 30 + name + extra, packed), _sized(size))
        if len(data) != size or zlib.crc32(data) != crc:
            raise PhotoError("damaged in the archive (wrong checksum)")
        return data

    @staticmethod
    def _directory(file: BinaryIO) -> tuple[int, int, int]:
        """Where the directory begins and ends, and how many bytes were put before the archive."""
        length = file.seek(0, os.SEEK_END)
        file.seek(max(length - 65557, 0))  # its end record and the longest comment
        tail = file.read()
        place = tail.rfind(b"PK\5\6")
        if place < 0:
            raise ValueError("no end record")
        size, offset = struct.unpack_from("<2L", tail, place + 12)
        end = length - len(tail) + place
        if place >= 20 and tail[place - 20 : place - 16] == b"PK\6\7":  # zip64
            end -= 76
            file.seek(end)
            signature, size, offset = struct.unpack("<4s36x2Q", file.read(56))
            if signature != b"PK\6\6":
                raise ValueError("no zip64 end record")
        if end - size - offset < 0:
            raise ValueError("its directory lies outside")
        return end - size, end, end - size - offset

    @staticmethod
    def _entry(file: BinaryIO, before: int) -> Entry | None:
        head = struct.unpack("<4s6H3L5H2L", file.read(46))
        flags, method, crc, packed, size = head[3], head[4], *head[7:10]
        attributes, offset = head[15:]
        if head[0] != b"PK\1\2":
            raise ValueError("damaged directory")
        raw, extra = file.read(head[10]), file.read(head[11])
        file.seek(head[12], os.SEEK_CUR)
        while len(extra) >= 4:
            kind, length = struct.unpack_from("<2H", extra)
            if kind == 1:  # zip64: those numbers, in this order, that have no room above
                large = list(struct.unpack_from(f"<{length // 8}Q", extra, 4))
                size, packed, offset = (large.pop(0) if n == 2**32 - 1 and large else n for n in (size, packed, offset))
            extra = extra[4 + length :]
        try:
            name = _picture_name(raw.decode())  # by flag 0x800, but most tools write UTF-8 anyway
        except UnicodeDecodeError:
            name = _picture_name(raw.decode("cp437"))
        if name is None or stat.S_ISLNK(attributes >> 16):
            return None
        return Entry(f"{offset + before}:{packed}:{size}:{crc}:{method}:{flags}", name)


class Tar(_Archive):
    """A tar archive. A compressed one cannot be read in parts: it is unpacked to a plain one beside the catalogue."""

    _OPEN: ClassVar[dict[str, Callable[..., Any]]] = {
        ".gz": gzip.open,
        ".tgz": gzip.open,
        ".xz": lzma.open,
        ".bz2": bz2.open,
    }
    _SPARSE = "sparse"

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.name.lower().endswith((".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2"))

    @classmethod
    def prepare(cls, path: Path, work: Path) -> Path:
        opened = cls._OPEN.get(path.suffix.lower())
        if opened is None:
            return path
        name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
        now = time.time_ns()
        stamp, _ = stamp_of(str(path), now)
        plain = work / "unpacked" / f"{name}-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.tar"
        if plain.exists() and stamp_of(str(path), plain.stat().st_mtime_ns)[1]:
            return plain
        log.info("%s: compressed as one piece: unpacked once to %s", path, plain)
        with atomic_path(plain) as temporary:
            try:
                with opened(path, "rb") as packed, temporary.open("wb") as out:
                    while piece := packed.read(1 << 20):
                        out.write(piece)
                os.utime(temporary, ns=(now, now))  # when it was true
            except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk's fault
                raise InputError(f"{path}: damaged or cut short ({error}); get it once more") from error
        for stale in set(plain.parent.glob(f"{name}-*.tar")) - {plain}:
            stale.unlink(missing_ok=True)
        return plain

    def members(self) -> Iterator[Entry]:
        try:
            with Path(self.path).open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
                while (info := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # it keeps every one otherwise
                    if info.isreg() and (name := _picture_name(info.name)):
                        sparse = info.issparse()
                        yield Entry(self._SPARSE if sparse else f"{info.offset_data}:{info.size}", name)
                file.seek(tar.offset)
                if file.read(512).strip(b"\0"):  # tarfile takes a damaged header for the end
                    raise tarfile.ReadError(f"damaged at byte {tar.offset}")
        except (*_BROKEN, tarfile.TarError) as error:
            raise InputError(
                f"{self.path}: not a tar archive that can be read, or cut short ({error}); get it once more"
            ) from error

    def read(self, locator: str) -> bytes:
        if locator == self._SPARSE:
            raise PhotoError("stored as a sparse file; pack the archive without --sparse")
        offset, size = map(int, locator.split(":"))
        return self.at(offset, size)


class Parquet(Source):
    """A Parquet table with image bytes in a column, plain or as Hugging Face's {bytes, path}."""

    by_row = True
    IMAGES = ("crop", "image", "bytes", "jpg", "png")
    NAMES = ("path", "name", "file_name", "filename", "image_id", "id", "key")
    BATCH = 8  # pictures in memory

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._file: pq.ParquetFile | None = None
        self._rows: Iterator[Any] = iter(())
        self._next = (-1, 0)  # group and row that `_rows` yields next

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.suffix.lower() == ".parquet"

    def members(self) -> Iterator[Entry]:
        try:
            file = self._open()
            name = self._name_column(file.schema_arrow)
            number = 0
            for group in range(file.num_row_groups):
                for row, told in enumerate(self._names(file, group, name)):
                    yield self._entry(f"{group}:{row}", told or str(number))
                    number += 1
        except _BROKEN as error:
            raise InputError(f"{self.path}: not a Parquet file that can be read ({error}); get it once more") from error

    def read(self, locator: str) -> bytes:
        group, row = map(int, locator.split(":"))
        file = self._open()
        try:
            if self._next[0] != group or self._next[1] > row:  # forwards only: pages cannot be entered in the middle
                column = self._image_column(file.schema_arrow)
                batches = file.iter_batches(self.BATCH, row_groups=[group], columns=[column])
                self._rows, self._next = (value for batch in batches for value in batch.column(0)), (group, 0)
            while self._next[1] <= row:
                value, self._next = next(self._rows, None), (group, self._next[1] + 1)
            if value is None:
                raise PhotoError("the table has lost this row")
        except BaseException:
            self._next = (-1, 0)
            raise
        data = value.as_py()
        if isinstance(data, dict):
            data = data["bytes"]
        if data is None:
            raise PhotoError("the table holds no bytes for it")
        _sized(len(data))
        return bytes(data)

    def close(self) -> None:
        if self._file is not None:
            self._rows, self._next = iter(()), (-1, 0)
            self._file.close()
            self._file = None

    def _open(self) -> pq.ParquetFile:
        if self._file is None:
            # Without a buffer size whole columns of a row group are read at once.
            self._file = pq.ParquetFile(self.path, buffer_size=1 << 20)
        return self._file

    def _entry(self, locator: str, name: str) -> Entry:
        return Entry(locator, name)

    def _image_column(self, schema: pa.Schema) -> str:
        found = [field.name for field in schema if _is_bytes(field.type) or _is_bytes(_part(field.type, "bytes"))]
        chosen = [name for name in self.IMAGES if name in found] or (found if len(found) == 1 else [])
        if not chosen:
            raise InputError(
                f"{self.path}: wanted a column of image bytes ({', '.join(self.IMAGES)}, or the only binary one), "
                f"got {', '.join(f'{field.name}: {field.type}' for field in schema)}"
            )
        return chosen[0]

    def _name_column(self, schema: pa.Schema) -> str | None:
        images = self._image_column(schema)
        if _is_text(_part(schema.field(images).type, "path")):
            return f"{images}.path"
        return next((n for n in self.NAMES if n in schema.names and _is_text(schema.field(n).type)), None)

    def _names(self, file: pq.ParquetFile, group: int, column: str | None) -> Iterator[str | None]:
        if column is None:
            yield from (None for _ in range(file.metadata.row_group(group).num_rows))
            return
        for batch in file.iter_batches(256, row_groups=[group], columns=[column]):
            for value in batch.column(0).to_pylist():
                yield value["path"] if isinstance(value, dict) else value


class AlignedTable(Parquet):
    """A table `aligned` that ganvert wrote: its crops, each under its own id."""

    @classmethod
    def takes(cls, path: Path) -> bool:
        try:
            return super().takes(path) and (pq.read_schema(path).metadata or {}).get(b"table") == b"aligned"
        except _BROKEN:
            return False  # the plain class says what is wrong

    def _open(self) -> pq.ParquetFile:
        file = super()._open()
        if not file.schema_arrow.equals(tables.ALIGNED.schema()):
            raise InputError(f"{self.path}: not of the schema this code writes; align the photographs again")
        return file

    def _name_column(self, schema: pa.Schema) -> str:
        return "image_id"

    def _entry(self, locator: str, name: str) -> Entry:
        return Entry(locator, name, name)


def _part(kind: pa.DataType, name: str) -> pa.DataType | None:
    return kind.field(name).type if pa.types.is_struct(kind) and kind.get_field_index(name) >= 0 else None


def _is_bytes(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_string(kind) or pa.types.is_large_string(kind))


#: The first one that takes a path reads it.
SOURCES: dict[str, type[Source]] = {
    "folder": Folder,
    "zip": Zip,
    "tar": Tar,
    "aligned": AlignedTable,
    "parquet": Parquet,
    "manifest": Manifest,
    "file": File,
}


def kind_of(path: Path) -> str:
    """The kind of an input.

    Raises:
        InputError: it does not exist, or is of no known kind.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such photo folder, archive, table or file; make it or correct the path")
    for kind, source in SOURCES.items():
        if source.takes(path):
            return kind
    raise InputError(
        f"{path}: not an input of a known kind; wanted a folder, .zip, .tar (.gz, .xz, .bz2), .parquet, a list of "
        f"files (.txt, .csv, .jsonl), or a picture ({' '.join(sorted(SUFFIXES))})"
    )


class Reader:
    """Reads members, and keeps the archives that were used last open. One for a thread."""

    OPEN = 4

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, str], Source] = OrderedDict()

    def read(self, member: Member) -> bytes:
        """A member's bytes, proved to be those that were listed.

        Raises:
            PhotoError: it cannot be read, or has changed.
            InputError: this machine does not have the source, or it is damaged as a whole.
        """
        if member.status != "ok":
            raise PhotoError(member.reason)
        source = self._source(member.kind, member.source)
        try:
            data = fetch(source, member.locator)
        except PhotoError as error:
            if not Path(source.root()).exists():
                raise InputError(f"{source.root()}: not on this machine; make it reachable under this path") from error
            raise PhotoError(f"{member.path}: {error}") from error
        if content_id(data, member.image_id) != member.photo_id:
            raise PhotoError(f"{member.path}: has changed since it was listed; run again")
        return data

    def _source(self, kind: str, path: str) -> Source:
        if (kind, path) not in self._open:
            self._open[kind, path] = lookup(SOURCES, kind, "source kind")(path)
        self._open.move_to_end((kind, path))
        while len(self._open) > self.OPEN:
            self._open.popitem(last=False)[1].close()
        return self._open[kind, path]

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
