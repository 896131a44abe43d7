"""Finished shards to the final tables, in the catalogue's order, a few rows in memory."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ganvert import tables
from ganvert.base.errors import TableError
from ganvert.base.files import atomic_path
from ganvert.codes import tuned_folder
from ganvert.extraction.job import Job
from ganvert.extraction.shards import PICTURES, THUMBS, Plan, storage_errors
from ganvert.images import contact_sheet, from_png

__all__ = ["assemble", "outputs_of", "write_sample"]

log = logging.getLogger(__name__)
_THUMB = 256  # px


def assemble(plan: Plan, outputs: Mapping[str, Path]) -> dict[str, int]:
    """Write the tables of a plan whose shards are all finished.

    Their bytes follow from the job and the pictures alone: how these were divided into shards, and who computed them
    when, does not show. Tables that are there already and were made of the same are left alone.

    Args:
        plan: with nothing left to do (:meth:`Plan.update`).
        outputs: table name to its Parquet file; tables of the job that are not named are left out.

    Returns:
        Rows of every table.

    Raises:
        TableError: shards are missing, or a finished one is damaged (it is set aside: run again).
        StorageError: the disk is full.
    """
    if plan.finished < plan.total:
        raise TableError(f"{plan.store.folder}: {plan.total - plan.finished} of {plan.total} pictures are not done yet")
    content = _content(plan)
    shard = next((shard for _, shard in plan.catalogue.done()), None)
    if shard is None:
        raise TableError(f"{plan.store.folder}: no picture was done")
    known = set(plan.store.read(shard, PICTURES).column_names)
    if unknown := set(outputs) - known:
        raise TableError(f"the job makes no table {', '.join(sorted(unknown))}; it makes {', '.join(sorted(known))}")
    counts = {}
    with plan.store.assembling():
        for name, path in outputs.items():
            with storage_errors(path):
                for left in path.parent.glob(f".{path.stem}.*.part{path.suffix}"):
                    left.unlink()  # by a process that was killed while it assembled: nobody else is at it now
                rows = _rows_if_same(path, content)
                if rows is None:
                    rows = _write(plan, name, path, content, shard)
                counts[name] = rows
    return counts


def outputs_of(job: Job, folder: Path) -> dict[str, Path]:
    """Every table of a job, as NAME.parquet in one folder."""
    names = ["photos"] if job.align is not None else []
    names += ["aligned"] if job.align is not None and (job.keep.crops or job.invert is None) else []
    if job.invert is not None:
        names += ["codes", *(["reconstructions"] if job.keep.reconstructions else [])]
        names += ["scores"] if job.metrics else []
    return {name: folder / f"{name}.parquet" for name in names}


def write_sample(plan: Plan, path: Path, count: int = 12) -> bool:
    """A sheet of some crops beside what their codes draw, a few of every shard, for a look.

    Args:
        plan: a finished one.
        path: PNG.
        count: of pairs at most.

    Returns:
        Whether there was anything to show.
    """
    if plan.job.invert is None:
        return False
    pictures: list[Image.Image] = []
    for shard, _ in groupby(plan.catalogue.done(), key=lambda mark: mark[1]):
        for row in plan.store.read(shard, THUMBS).to_pylist():
            pictures += [from_png(row["crop"]), from_png(row["drawn"])]
        if len(pictures) >= 2 * count:
            break
    if not pictures:
        return False
    with storage_errors(path), atomic_path(path) as temporary:
        contact_sheet(pictures[: 2 * count], min(len(pictures), 6), _THUMB).save(temporary)
    return True


def _content(plan: Plan) -> str:
    """A digest of what the tables are made of."""
    digest = hashlib.sha256(plan.job.key.encode())
    for photo_id, _ in plan.catalogue.done():
        digest.update(photo_id.encode())
    return digest.hexdigest()


def _rows_if_same(path: Path, content: str) -> int | None:
    """Rows of a table that was made of the same content, else None."""
    try:
        found = pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid):
        return None
    if (found.metadata or {}).get(b"content", b"").decode() != content:
        return None
    log.info("%s: made of the same pictures by the same job, left as it is", path)
    return int(found.num_rows)


def _write(plan: Plan, name: str, path: Path, content: str, shard: str) -> int:
    schema = plan.store.read(shard, name).schema
    facts = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    table = tables.Table(
        facts.pop("table"), int(facts.pop("version")), tuple(facts.pop("key").split(",")), tuple(schema)
    )
    rows, used = 0, set[str]()
    with tables.Writer(path, table, facts | {"content": content}) as out:
        for part in _slices(plan, name):
            out.add_table(part)
            rows += len(part)
            if name == "codes":
                files = {file for file in part.column("tuned").unique().to_pylist() if file}
                _link(plan.store.tuned, tuned_folder(path), files - used)
                used |= files
    if name == "codes":
        for stale in {file.name for file in tuned_folder(path).glob("*.safetensors")} - used:
            (tuned_folder(path) / stale).unlink()
    return rows


def _slices(plan: Plan, name: str) -> Iterator[pa.Table]:
    """The rows of one table in the catalogue's order: neighbours in a shard come together."""

    @lru_cache(maxsize=4)  # pictures that came later stand between those of older shards
    def read(shard: str) -> tuple[pa.Table, dict[str, int], np.ndarray]:
        try:
            pictures, table = plan.store.read(shard, PICTURES), plan.store.read(shard, name)
        except (OSError, pa.ArrowInvalid) as error:
            plan.store.set_aside(shard, error)
            raise TableError(f"{plan.store.path(shard)}: damaged and set aside; run again to make it anew") from error
        places = {photo_id: i for i, photo_id in enumerate(pictures.column("photo_id").to_pylist())}
        return table, places, np.cumsum([0, *pictures.column(name).to_pylist()])

    for shard, marks in groupby(plan.catalogue.done(), key=lambda mark: mark[1]):
        table, places, starts = read(shard)
        at = [places[photo_id] for photo_id, _ in marks]
        first = 0
        for i in range(1, len(at) + 1):  # runs of neighbours
            if i == len(at) or at[i] != at[i - 1] + 1:
                begin, end = int(starts[at[first]]), int(starts[at[i - 1] + 1])
                yield table.slice(begin, end - begin)
                first = i


def _link(source: Path, target: Path, names: set[str]) -> None:
    """Put files of tuned weights beside a table; they never change, so a hard link does where it can."""
    for name in sorted(names):
        with atomic_path(target / name) as temporary:
            try:
                os.link(source / name, temporary)
            except OSError:
                shutil.copyfile(source / name, temporary)
