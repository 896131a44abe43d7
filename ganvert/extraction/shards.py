"""The work store: finished shards by the key of their content, and the plan of what is left to do.

    WORK/catalogues/...          the pictures of some inputs (:mod:`ganvert.extraction.catalogue`)
    WORK/JOB/shards/SHARD/       a finished shard: one Parquet file a table, their sums, its core-seconds; renamed whole
    WORK/JOB/outputs/            sums of the final tables, by their paths
    WORK/JOB/locks/SHARD         held (flock) by the process that works on a shard; the kernel frees it
    WORK/JOB/tuned/              weights of tuned generators, by content

Nothing here depends on a clock, and nothing has to be cleaned up after a crash.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ganvert.base.errors import DamagedShardError, ParamsError, StorageError
from ganvert.base.files import crc_of, sync, write_json
from ganvert.extraction.catalogue import Catalogue, Scan
from ganvert.extraction.device import images_at_once
from ganvert.extraction.job import Job
from ganvert.extraction.listing import list_pictures
from ganvert.extraction.members import Member

__all__ = ["PICTURES", "THUMBS", "Plan", "Shard", "Store", "default_shard_size", "plan"]

log = logging.getLogger(__name__)

#: A shard's own table: its pictures in order, and how many rows each has in every other table.
PICTURES = "pictures"
#: A shard's own table: a few of its crops and what their codes draw, as small JPEGs.
THUMBS = "thumbs"
#: A shard's file of sums: table to the CRC-32 of its file.
_SUMS = "sums.json"
#: A shard's file of what it took, which is no part of the result.
_COST = "cost.json"
_STEPS = 256  # of one shard: few enough to lose little, many enough that storing them costs nothing
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


@dataclasses.dataclass(frozen=True)
class Shard:
    """Some pictures that one worker computes, and their key (32 hex digits)."""

    key: str
    members: tuple[Member, ...]

    def to_json(self) -> str:
        """Return the shard as one line of text."""
        return json.dumps([dataclasses.asdict(member) for member in self.members])

    @classmethod
    def from_json(cls, text: str) -> Shard:
        """Return the shard that :meth:`to_json` wrote."""
        return cls.of([Member(**facts) for facts in json.loads(text)])

    @classmethod
    def of(cls, members: Sequence[Member]) -> Shard:
        """Return the shard of some pictures. Equal contents in equal order have equal keys, wherever they lie."""
        digest = hashlib.sha256()
        for member in members:
            # By content, not by path: photographs that were moved or renamed keep their finished shards.
            digest.update(f"{member.photo_id} {member.image_id or ''}\n".encode())
        return cls(digest.hexdigest()[:32], tuple(members))


class Store:
    """Finished shards of one job."""

    def __init__(self, work: Path, job: Job) -> None:
        self.folder = Path(work) / job.key
        self.shards = self.folder / "shards"
        self.tuned = self.folder / "tuned"
        self.outputs = self.folder / "outputs"
        self._sound: set[tuple[str, str]] = set()  # tables whose sum was compared
        with storage_errors(self.folder):
            for folder in (self.shards, self.folder / "locks"):
                folder.mkdir(parents=True, exist_ok=True)

    def path(self, shard: str) -> Path:
        """Return the folder of a finished shard."""
        return self.shards / shard

    def finished(self) -> Iterator[str]:
        """Yield the keys of the finished shards, sorted; whatever else lies in the folder is left alone."""
        with os.scandir(self.shards) as entries:
            yield from sorted(entry.name for entry in entries if re.fullmatch("[0-9a-f]{32}", entry.name))

    @contextmanager
    def claim(self, shard: str) -> Iterator[bool]:
        """Lock a shard, after waiting for any other process or thread that works on it.

        Yields whether it is still to be done. What a killed process left half-written is removed.
        """
        path = self.folder / "locks" / shard
        with storage_errors(path), path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The lock's file is removed below. Who waited for it, or makes it anew, finds the shard finished.
            shutil.rmtree(self._part(shard), ignore_errors=True)
            yield not self.path(shard).exists()
            if self.path(shard).exists():
                path.unlink(missing_ok=True)

    @contextmanager
    def assembling(self) -> Iterator[None]:
        """Lock the final tables against other processes."""
        path = self.folder / "locks" / "tables"
        with storage_errors(path), path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def put(self, shard: str, tables: Mapping[str, pa.Table], core_seconds: float | None = None) -> None:
        """Store all tables of a claimed shard, or nothing.

        Args:
            shard: its key.
            tables: name to table.
            core_seconds: what it took; see :meth:`core_seconds`.

        Raises:
            StorageError: the disk is full, or the store cannot be written to.
        """
        part = self._part(shard)
        try:
            with storage_errors(part):
                part.mkdir()
                files = {name: part / f"{name}.parquet" for name in tables}
                for name, table in tables.items():
                    # Fast to write rather than small: it is read only once, for the final tables.
                    pq.write_table(table, files[name], compression="lz4", use_dictionary=False)
                    sync(files[name])
                write_json(part / _SUMS, {name: crc_of(file) for name, file in files.items()})
                if core_seconds is not None:
                    write_json(part / _COST, {"core_seconds": core_seconds})
                sync(part)
                # Within a file system this is atomic: readers see the whole shard or none.
                part.rename(self.path(shard))
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def read(self, shard: str, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a table of a finished shard.

        Raises:
            DamagedShardError: it is not what was stored; the shard is set aside.
        """
        path = self.path(shard) / f"{table}.parquet"
        try:
            if (shard, table) not in self._sound:
                sums = json.loads((self.path(shard) / _SUMS).read_text())
                if crc_of(path) != sums[table]:
                    raise ValueError(f"the sum of {path.name} is not the one that was stored")
                self._sound.add((shard, table))
            return pq.read_table(path, columns=columns, memory_map=True)
        except (OSError, pa.ArrowException, ValueError, TypeError, LookupError) as error:
            self._set_aside(shard, error)
            raise DamagedShardError(
                f"{self.path(shard)}: damaged and set aside; run again to compute it again"
            ) from error

    def core_seconds(self, shard: str) -> float | None:
        """Return the processor time that a finished shard took, models loaded before; None where it is not known."""
        try:
            return float(json.loads((self.path(shard) / _COST).read_text())["core_seconds"])
        except (OSError, ValueError, TypeError, LookupError):
            return None

    def _set_aside(self, shard: str, reason: Exception) -> None:
        """Delete a shard whose files are damaged, so that it is computed again."""
        path = self.path(shard)
        log.warning("%s: damaged (%s); it is computed again", path, reason)
        self._sound = {(other, table) for other, table in self._sound if other != shard}
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def _part(self, shard: str) -> Path:
        return self.shards / f".{shard}.part"


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise StorageError for a full disk or a folder that cannot be written to."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageError(
            f"{error.filename or path}: cannot be written: {error.strerror}; make room, or name another folder; "
            "finished shards are whole: run it again to resume"
        ) from error


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one run has to do.

    Attributes:
        job: what is done with a picture.
        work: the work store.
        catalogue: the pictures.
        store: their finished shards.
        scan: counts of the listing.
        shard_size: pictures of a shard at most.
        total: different pictures.
        finished: those of them that are in finished shards.
    """

    job: Job
    work: Path
    catalogue: Catalogue
    store: Store
    scan: Scan
    shard_size: int
    total: int
    finished: int

    def shards(self) -> Iterator[Shard]:
        """Yield the shards that are left to do, in the catalogue's order."""
        members: list[Member] = []
        for member in self.catalogue.todo():
            members.append(member)
            if len(members) == self.shard_size:
                yield Shard.of(members)
                members = []
        if members:
            yield Shard.of(members)

    @property
    def shards_left(self) -> int:
        """Number of shards that :meth:`shards` yields."""
        return -(-(self.total - self.finished) // self.shard_size)

    def update(self) -> Plan:
        """Return the plan with the shards that have been finished since."""
        return dataclasses.replace(self, finished=_mark_finished(self.catalogue, self.store))


def plan(job: Job, inputs: Sequence[Path], work: Path, shard_size: int | None = None) -> Plan:
    """List the pictures, find those that are done, and divide the rest.

    A picture that is in any finished shard of the job is done: more pictures, or another shard size, cost no second
    inversion.

    Args:
        job: see :class:`Job`.
        inputs: folders, pictures, archives, tables and lists (:mod:`ganvert.extraction.sources`).
        work: the work store.
        shard_size: pictures of a shard at most; None for :func:`default_shard_size`.

    Raises:
        InputError: an input is missing or holds no picture.
        ParamsError: the shard size is not positive, or was given to a method that takes all pictures at once.
        StorageError: the work store cannot be written to.
    """
    joint = job.invert is not None and job.invert.read().together
    if shard_size is not None and (shard_size < 1 or joint):
        raise ParamsError(
            f"shard: wanted 1 or more pictures, and null for a method that takes all of them at once, got {shard_size}"
        )
    work = Path(work).absolute()
    with storage_errors(work):
        catalogue, scan = list_pictures(inputs, work)
    store, total = Store(work, job), len(catalogue)
    size = shard_size or (max(total, 1) if joint else default_shard_size(job))
    return Plan(job, work, catalogue, store, scan, size, total, _mark_finished(catalogue, store))


def default_shard_size(job: Job) -> int:
    """Return the pictures of one shard: about 256 steps, whole batches, and at most 16 where images are kept."""
    if job.invert is None or job.keep.crops or job.keep.reconstructions:
        pictures = 16
    else:
        pictures = _STEPS
    if job.invert is None:
        return pictures
    steps, batch = job.invert.read().steps, images_at_once(job.invert.batch, job.device)
    # Whole batches: a partial one takes as many steps as a full one.
    return max(min(pictures, _STEPS // steps) // batch, 1) * batch


def _mark_finished(catalogue: Catalogue, store: Store) -> int:
    """Mark the pictures of finished shards as done; return how many of the catalogue's are."""
    catalogue.clear_done()
    for shard in store.finished():
        try:
            ids = store.read(shard, PICTURES, ["photo_id"]).column(0).to_pylist()
        except DamagedShardError:
            continue  # it has been set aside
        catalogue.mark_done(shard, ids)
    return len(catalogue) - catalogue.todo_count()
