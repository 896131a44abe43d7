"""The pictures of some inputs, known by their content. The listing lies on disk, so that it may hold millions."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

from ganvert.base.errors import InputError, PhotoError, StorageError
from ganvert.compute.progress import progress_bar
from ganvert.extraction.members import Member
from ganvert.extraction.names import from_blob, sort_key, to_blob
from ganvert.extraction.sources import SOURCES, Source, identify, kind_of, reason_of, stamp_of
from ganvert.faces.listing import SUFFIXES, skipped_text

__all__ = ["Catalogue", "Scan"]

T = TypeVar("T")
log = logging.getLogger(__name__)
VERSION = 2  # of the file's tables; a file of another version is made anew
BATCH = 1024  # rows in memory
THREADS = 8  # that read files; they mostly wait for the disk
#: What SQLite says of a damaged file. A flipped bit may also hide a table, double a key, or forbid writing.
_DAMAGED = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_READONLY,
}

# The file is a cache of content ids: those of single files, and those of the entries of an archive or table (a
# `whole`), each with the stamp it had when it was read. Only a scan opens it. Names are blobs, because they need not be
# Unicode. SQLite does not notice a flipped bit in a value, so every file has a sum (:func:`_sum`), and every whole one
# of all its entries.
_STORED = {
    "files": "(path BLOB PRIMARY KEY, stamp TEXT, photo_id TEXT, sum INTEGER) WITHOUT ROWID",
    "wholes": "(id INTEGER PRIMARY KEY, kind TEXT, path BLOB, stamp TEXT, sum INTEGER, UNIQUE (path, kind))",
    "entries": """(whole INTEGER, place INTEGER, locator BLOB, name BLOB, image_id TEXT, photo_id TEXT, reason TEXT,
        PRIMARY KEY (whole, place)) WITHOUT ROWID""",
}
# This run's listing, in a temporary database that no other run sees. `found` sorts by its key: WITHOUT ROWID, a table
# is its primary key's index, and millions of keys are stored once. A negative cache size is in KiB; sorts go to files.
_OWN = """
    PRAGMA cache_size = -32768; PRAGMA temp_store = FILE;
    CREATE TABLE found (key BLOB PRIMARY KEY, source INTEGER, path TEXT, locator BLOB, photo_id TEXT, image_id TEXT,
        status TEXT, reason TEXT) WITHOUT ROWID;
    CREATE TABLE done (photo_id TEXT PRIMARY KEY, shard TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Scan:
    """Counts of a listing.

    Attributes:
        found: pictures in the inputs; one that two inputs name in the same way counts once.
        unique: different contents.
        duplicates: pictures with the same bytes as one before them.
        unreadable: contents that could not be read.
        hashed: pictures that had to be read, because they were new or could have changed.
        skipped: entries of folders, archives and lists that were left out because they do not look like pictures.
    """

    found: int
    unique: int
    duplicates: int
    unreadable: int
    hashed: int
    skipped: int = 0


class _Input(NamedTuple):
    """An input of this scan."""

    number: int
    kind: str
    shown: str  # what the names of its pictures begin with
    source: Source


class _Listed(NamedTuple):
    """A picture of an archive or table: a row of `entries` without `whole`."""

    place: int
    locator: bytes
    name: bytes
    image_id: str | None
    photo_id: str | None  # None: unreadable
    reason: str


class Catalogue:
    """The pictures that :meth:`scan` found, and marks on those that are done; other objects see neither.

    Several processes may share one file: one scans at a time, the others wait for it. A damaged file is set aside and
    made anew. The sorted listing lies in SQLite's temporary folder (`SQLITE_TMPDIR`, `TMPDIR`, /var/tmp),
    about 350 bytes a picture.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._inputs: list[tuple[str, str]] = []  # path and kind of each
        self._unique = 0
        # An empty name is a private database on disk, deleted when closed; `:memory:` would have to hold millions of
        # rows. Without isolation level Python begins no transactions of its own.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript(_OWN)

    def scan(self, inputs: Sequence[Path]) -> Scan:
        """List the pictures of the inputs, and read those that are new or may have changed.

        Args:
            inputs: see `SOURCES` in :mod:`ganvert.extraction.sources`.

        Raises:
            InputError: an input is missing, of no known kind or damaged as a whole, or none of them holds a picture.
            StorageError: the disk is full, or the catalogue cannot be written to.
        """
        kinds = [(kind_of(path), path) for path in map(Path, inputs)]  # all of them before any work
        with self._storage(), self._alone():
            ready = [(kind, path, SOURCES[kind].prepare(path, self.path.parent)) for kind, path in kinds]
            self._inputs = [(str(file.absolute()), kind) for kind, _, file in ready]
            listed = [
                _Input(number, kind, _shown(str(path)), SOURCES[kind](str(file)))
                for number, (kind, path, file) in enumerate(ready)
            ]
            try:
                hashed = self._scan(listed)
            except (sqlite3.DatabaseError, ValueError, TypeError, OverflowError) as error:
                # Only the low byte names the error. Python's own complaints about a value of another kind have no code.
                if (
                    getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in _DAMAGED
                ):  # the low byte: extended codes carry more above it
                    raise
                self._set_aside(error)
                for given in listed:
                    given.source.skipped.clear()
                hashed = self._scan(listed)
            for given in listed:
                if given.source.skipped:
                    log.warning("%s: left out %s", given.shown, skipped_text(given.source.skipped))
            return self._settle(hashed, inputs, sum(given.source.skipped.total() for given in listed))

    def members(self) -> Iterator[Member]:
        """Yield one picture of each content, sorted by the parts of its path; rows of tables in their order."""
        return self._members("")

    def __len__(self) -> int:
        return self._unique

    def clear_done(self) -> None:
        """Remove all marks."""
        self._run("DELETE FROM done")

    def mark_done(self, shard: str, photo_ids: Iterable[str]) -> None:
        """Mark contents as done in a shard; the first mark of a content holds."""
        rows = [(photo_id, shard) for photo_id in photo_ids]
        with self._storage(), self._written():
            self._db.executemany("INSERT OR IGNORE INTO done VALUES (?, ?)", rows)

    def todo(self) -> Iterator[Member]:
        """Yield the members without a mark, in order."""
        return self._members("AND NOT EXISTS (SELECT 1 FROM done WHERE done.photo_id = found.photo_id)")

    def todo_count(self) -> int:
        """Return how many members :meth:`todo` yields."""
        return self._unique - int(self._run("SELECT COUNT(*) FROM found CROSS JOIN done USING (photo_id)")[0][0])

    def done(self) -> Iterator[tuple[str, str]]:
        """Yield content and shard of the members with a mark, in order."""
        # CROSS JOIN keeps the order of the loops: `found` by its key outside, `done` looked up, nothing sorted.
        for _, photo_id, shard in self._pages(
            "SELECT key, photo_id, shard FROM found CROSS JOIN done USING (photo_id) WHERE key > ? ORDER BY key LIMIT ?"
        ):
            yield photo_id, shard

    def close(self) -> None:
        """Discard the listing."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _members(self, condition: str) -> Iterator[Member]:
        columns = "key, source, path, locator, photo_id, image_id, status, reason"
        for _, number, path, locator, *facts in self._pages(
            f"SELECT {columns} FROM found WHERE key > ? {condition} ORDER BY key LIMIT ?"
        ):
            path_of_input, kind = self._inputs[number]
            yield Member(path_of_input, kind, path, from_blob(locator), *facts)

    def _pages(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Yield rows in the order of their key, the first column, in pages: no cursor stays open between them."""
        key = b""
        while rows := self._run(query, (key, BATCH)):
            yield from rows
            key = rows[-1][0]

    def _run(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._storage():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                f"{self.path}: the catalogue of pictures cannot be kept ({error}); make room there and in the folder "
                "for temporary files, or name other folders; run it again to resume"
            ) from error

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Commit everything that the block writes, or nothing."""
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the file against other scans; SQLite's own lock, which is freed when its holder ends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A file of its own: an exclusive lock on the catalogue would be given up at every commit.
        # SQLite waits briefly at a time, so that Ctrl-C is heard between attempts.
        lock = sqlite3.connect(f"{self.path}.lock", timeout=0.2, isolation_level=None)
        warned = False
        try:
            while not lock.in_transaction:
                try:
                    lock.execute("BEGIN EXCLUSIVE")
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                        raise
                    if not warned:
                        log.warning("%s: another run lists these pictures; waiting for it", self.path)
                    warned = True
            yield
        finally:
            lock.close()

    def _set_aside(self, error: Exception) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged")
        log.warning("%s: damaged (%s); set aside as %s, all pictures are read again", self.path, error, aside.name)
        os.replace(self.path, aside)
        # Otherwise SQLite would roll the damaged file's journal back into the new one.
        Path(f"{self.path}-journal").unlink(missing_ok=True)

    def _scan(self, inputs: Sequence[_Input]) -> int:
        """Fill the table `found`; return how many pictures were read."""
        self._db.execute("DELETE FROM found")
        self._db.execute("ATTACH ? AS stored", (str(self.path),))
        try:
            if self._db.execute("PRAGMA stored.user_version").fetchone()[0] != VERSION:
                with self._written():
                    for name, columns in _STORED.items():
                        self._db.execute(f"DROP TABLE IF EXISTS stored.{name}")
                        self._db.execute(f"CREATE TABLE stored.{name} {columns}")
                    self._db.execute(f"PRAGMA stored.user_version = {VERSION}")
            with progress_bar(0, "list") as bar:
                hashed = sum(self._whole(given, bar) for given in inputs if given.source.whole)
                return hashed + self._files([given for given in inputs if not given.source.whole], bar)
        finally:
            self._db.execute("DETACH stored")

    def _settle(self, hashed: int, inputs: Sequence[Path], skipped: int) -> Scan:
        """Keep the first member of every content; return the counts."""
        found = self._db.execute("SELECT COUNT(*) FROM found").fetchone()[0]
        if not found:
            where = ", ".join(map(str, inputs)) or "no folder given"
            raise InputError(f"no photos in {where}; put some there (known endings: {' '.join(sorted(SUFFIXES))})")
        self._db.execute("DELETE FROM found WHERE key NOT IN (SELECT MIN(key) FROM found GROUP BY photo_id)")
        count = "SELECT COUNT(*), COUNT(*) FILTER (WHERE status != 'ok') FROM found"
        self._unique, unreadable = self._db.execute(count).fetchone()
        return Scan(found, self._unique, found - self._unique, unreadable, hashed, skipped)

    def _files(self, inputs: Sequence[_Input], bar: tqdm[NoReturn]) -> int:
        """Add pictures that are files, reading those whose stamp changed; return how many were read."""
        entries = ((given, entry.locator) for given in inputs for entry in given.source.members())
        hashed = 0
        with ThreadPoolExecutor(THREADS) as pool:
            for batch in _batches(entries):
                paths = [to_blob(os.path.abspath(given.source.file(locator))) for given, locator in batch]  # noqa: PTH100
                files = [(given.source, locator, *self._known(path)) for (given, locator), path in zip(batch, paths)]
                parts = [files[i : i + BATCH // THREADS] for i in range(0, len(files), BATCH // THREADS)]
                checked = [file for part in pool.map(_check_all, parts) for file in part]
                with self._written():
                    new = [(path, file.stamp, file.photo_id) for path, file in zip(paths, checked) if file.stamp]
                    rows = [(*facts, _sum(facts)) for facts in new]
                    self._db.executemany("REPLACE INTO stored.files VALUES (?, ?, ?, ?)", rows)
                    for (given, locator), file in zip(batch, checked):
                        name = _shown(given.source.file(locator))
                        self._add(given, sort_key(name), name, locator, None, file.photo_id, file.reason)
                hashed += sum(file.read for file in checked)
                bar.update(len(batch))
        return hashed

    def _known(self, path: bytes) -> tuple[str, str]:
        """Return the stored stamp and content id of a file; empty ones if it is new, or its row damaged."""
        query = "SELECT stamp, photo_id, sum FROM stored.files WHERE path = ?"
        stamp, photo_id, stored = self._db.execute(query, (path,)).fetchone() or ("", "", None)
        return (stamp, photo_id) if stored == _sum((path, stamp, photo_id)) else ("", "")

    def _whole(self, given: _Input, bar: tqdm[NoReturn]) -> int:
        """Add the pictures of an archive or table, reading all if its stamp changed; return how many were read."""
        path, source = to_blob(os.path.abspath(given.source.path)), given.source  # noqa: PTH100
        try:
            stamp, settled = stamp_of(source.path, time.time_ns())
        except (OSError, PhotoError) as error:
            raise InputError(f"{given.shown}: cannot be read: {reason_of(error)}") from error
        query = "SELECT id, stamp, sum FROM stored.wholes WHERE path = ? AND kind = ?"
        row, known, stored = self._db.execute(query, (path, given.kind)).fetchone() or (0, "", 0)
        if fresh := known != stamp:
            with self._written():  # no stamp until all of it is there: a killed run reads it again
                self._db.execute("DELETE FROM stored.entries WHERE whole = ?", (row,))
                self._db.execute("REPLACE INTO stored.wholes VALUES (?, ?, ?, '', 0)", (row or None, given.kind, path))
                row = self._db.execute(query, (path, given.kind)).fetchone()[0]
        count = sum_ = 0
        for batch in _batches(_read(source) if fresh else self._entries(row)):
            with self._written():
                if fresh:
                    rows = ((row, *listed) for listed in batch)
                    self._db.executemany("INSERT INTO stored.entries VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                for listed in batch:
                    sum_ = _sum(listed, sum_)
                for place, locator, inner, image_id, photo_id, reason in batch:
                    name, at = f"{given.shown}!{from_blob(inner)}", place.to_bytes(8, "big")
                    # An archive may hold several members of one name: the place tells them apart. Big-endian bytes sort
                    # as the numbers do.
                    key = sort_key(given.shown) + b"\0" + at if source.by_row else sort_key(name) + b"\0\0" + at
                    self._add(given, key, name, from_blob(locator), image_id, photo_id, reason)
            count += len(batch)
            bar.update(len(batch))
        if not fresh and sum_ != stored:
            raise ValueError(f"the entries of {given.shown} are not those that were stored")
        if fresh and settled:
            self._db.execute("UPDATE stored.wholes SET stamp = ?, sum = ? WHERE id = ?", (stamp, sum_, row))
        return count if fresh else 0

    def _entries(self, whole: int) -> Iterator[_Listed]:
        """Yield the entries of an archive or table as they were stored."""
        place = -1
        query = """SELECT place, locator, name, image_id, photo_id, reason FROM stored.entries
            WHERE whole = ? AND place > ? ORDER BY place LIMIT ?"""
        while rows := self._db.execute(query, (whole, place, BATCH)).fetchall():
            yield from map(_Listed._make, rows)
            place = rows[-1][0]

    def _add(
        self,
        given: _Input,
        key: bytes,
        name: str,
        locator: str,
        image_id: str | None,
        photo_id: str | None,
        reason: str,
    ) -> None:
        """Add one picture to `found`, unless another input named it before."""
        path = name if name.isascii() else name.encode(errors="backslashreplace").decode()  # Parquet wants Unicode
        status = "ok"
        if photo_id is None:
            photo_id = hashlib.sha256(f"unreadable:{path}".encode()).hexdigest()
            status, reason = PhotoError.status, f"{path}: {reason}"
        row = (key, given.number, path, to_blob(locator), photo_id, image_id, status, reason)
        self._db.execute("INSERT OR IGNORE INTO found VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


class _Checked(NamedTuple):
    """A file whose stamp was compared with the stored one."""

    photo_id: str | None = None  # None: unreadable
    reason: str = ""
    read: bool = False
    stamp: str = ""  # to be stored; empty if it proves nothing


def _check_all(files: Sequence[tuple[Source, str, str, str]]) -> list[_Checked]:
    """Check some files: source, locator, and the stamp and content id that are stored."""
    return [_check(*file) for file in files]


def _check(source: Source, locator: str, known: str, photo_id: str) -> _Checked:
    """Return a file's content id: the stored one if the stamp is the same, else that of its bytes."""
    now = time.time_ns()
    try:
        stamp, settled = stamp_of(source.file(locator), now)
        if stamp == known:
            return _Checked(photo_id)
        return _Checked(identify(source, locator), "", True, stamp if settled else "")
    except PhotoError as error:
        return _Checked(reason=str(error))
    except (OSError, ValueError) as error:
        return _Checked(reason=f"cannot be read: {reason_of(error)}")


def _read(source: Source) -> Iterator[_Listed]:
    """List the pictures of an archive or table, reading every one."""
    try:
        for place, (locator, name, image_id) in enumerate(source.members()):
            photo_id, reason = None, ""
            try:
                photo_id = identify(source, locator, image_id)
            except PhotoError as error:
                reason = str(error)
            yield _Listed(place, to_blob(locator), to_blob(name), image_id, photo_id, reason)
    finally:
        source.close()


def _sum(values: tuple[Any, ...], start: int = 0) -> int:
    """Return the CRC-32 of a row, continued from that of the rows before."""
    return zlib.crc32(repr(values).encode(errors="backslashreplace"), start)


def _shown(path: str) -> str:
    """Return what rows call a path: relative to the current folder if it lies below it, else as given."""
    here = os.getcwd().rstrip("/") + "/"  # noqa: PTH109 (for millions of names)
    return path.removeprefix(here)


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(items, BATCH)):
        yield batch
