"""Finished shards to the final tables, in the catalogue's order, with a few rows in memory."""

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
from ganvert.base.errors import InputError, TableError
from ganvert.base.files import atomic_path, crc_of, mark_output, sweep_locked
from ganvert.codes import tuned_folder
from ganvert.extraction.job import Job
from ganvert.extraction.shards import PICTURES, THUMBS, Plan, storage_errors
from ganvert.images import contact_sheet, from_png, to_png

__all__ = ["assemble", "check_codes", "outputs_of", "stored_rows", "write_sample"]

log = logging.getLogger(__name__)
_THUMB = 256  # px


def assemble(plan: Plan, outputs: Mapping[str, Path]) -> dict[str, int]:
    """Write the tables of a plan whose shards are all finished.

    Their bytes follow from the job and the pictures alone, not from how these were divided into shards, or when and
    where they were computed. Existing tables that were made from the same are left alone, where nothing is missing
    beside them.

    Args:
        plan: with nothing left to do (:meth:`Plan.update`).
        outputs: table name to its Parquet file; tables of the job that are not named are left out.

    Returns:
        Number of rows of every table.

    Raises:
        TableError: shards are missing.
        DamagedShardError: a finished shard is damaged; it is set aside.
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
                sweep_locked(path.parent, path)  # no other process assembles now
                record = plan.store.outputs / hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
                rows = _rows_if_same(path, content, record)
                if rows is None or (name == "codes" and _lacks_tuned(path)):
                    rows = _write(plan, name, path, content, shard)
                    with atomic_path(record) as temporary:
                        temporary.write_text(str(crc_of(path)))
                counts[name] = rows
    return counts


def outputs_of(job: Job, folder: Path) -> dict[str, Path]:
    """Return the paths of all tables of a job, NAME.parquet in one folder."""
    names = ["photos"] if job.align is not None else []
    names += ["aligned"] if job.align is not None and (job.keep.crops or job.invert is None) else []
    if job.invert is not None:
        names += ["codes", *(["reconstructions"] if job.keep.reconstructions else [])]
        names += ["scores"] if job.metrics else []
    return {name: folder / f"{name}.parquet" for name in names}


def check_codes(rows: Mapping[str, int], outputs: Mapping[str, Path]) -> None:
    """Refuse a table of codes without any: it is deleted, so that nothing could be mistaken for a result.

    Args:
        rows: number of rows of every table, from :func:`assemble`.
        outputs: table name to its Parquet file; `photos` stays, all others are deleted with the codes.

    Raises:
        InputError: no photograph gave a code.
    """
    if rows["codes"]:
        return
    for name in outputs.keys() - {"photos"}:
        outputs[name].unlink()
    first = next(tables.rows(outputs["photos"], tables.PHOTOS, ["reason"]))["reason"]
    raise InputError(f"no photograph could be used; {outputs['photos']} says why: {first}")


def write_sample(plan: Plan, path: Path, count: int = 12) -> bool:
    """Write a sheet of some crops beside what their codes draw, a few from every shard.

    Args:
        plan: a finished one.
        path: the PNG to write.
        count: number of pairs at most.

    Returns:
        Whether there was any crop to show.
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
        mark_output(path.parent)
        temporary.write_bytes(to_png(contact_sheet(pictures[: 2 * count], min(len(pictures), 6), _THUMB)))
    return True


def _content(plan: Plan) -> str:
    """Return a digest of what the tables are made from."""
    digest = hashlib.sha256(plan.job.key.encode())
    for photo_id, _ in plan.catalogue.done():
        digest.update(photo_id.encode())
    return digest.hexdigest()


def _rows_if_same(path: Path, content: str, record: Path) -> int | None:
    """Return the number of rows of a table that was made from the same content and is undamaged, else None.

    Args:
        path: the table.
        content: see :func:`_content`.
        record: the file that holds the table's sum.
    """
    try:
        metadata = pq.read_metadata(path)
        if (metadata.metadata or {}).get(b"content", b"") != content.encode():
            return None
        if int(record.read_text()) != crc_of(path):
            log.warning("%s: damaged or changed by another program; it is written again", path)
            return None
    except (OSError, pa.ArrowException, ValueError):
        return None
    log.info("%s: made from the same pictures by the same job, left as it is", path)
    return int(metadata.num_rows)


def _lacks_tuned(path: Path) -> bool:
    """Return whether tuned weights that a table of codes names are not beside it."""
    names = {row["tuned"] for row in tables.rows(path, "codes", ["tuned"], 4096)}
    return any(name and not (tuned_folder(path) / name).is_file() for name in names)


def _write(plan: Plan, name: str, path: Path, content: str, shard: str) -> int:
    """Write one table, whose schema is that of `shard`, and link its tuned weights; return its number of rows."""
    schema = plan.store.read(shard, name).schema
    facts = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    table = tables.Table(
        facts.pop("table"), int(facts.pop("version")), tuple(facts.pop("key").split(",")), tuple(schema)
    )
    rows, used = 0, set[str]()
    with tables.Writer(path, table, facts | {"content": content}) as out:
        for part in stored_rows(plan, name):
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


def stored_rows(plan: Plan, name: str) -> Iterator[pa.Table]:
    """Yield the rows of one table of a finished plan in the catalogue's order; neighbours in a shard come together.

    Args:
        plan: a finished one.
        name: any table of the job, also one that is not among the outputs.

    Raises:
        DamagedShardError: a shard is damaged; it is set aside.
    """

    @lru_cache(maxsize=4)  # pictures that were added later stand between those of older shards
    def read(shard: str) -> tuple[pa.Table, dict[str, int], np.ndarray]:
        pictures, table = plan.store.read(shard, PICTURES), plan.store.read(shard, name)
        places = {photo_id: i for i, photo_id in enumerate(pictures.column("photo_id").to_pylist())}
        return table, places, np.cumsum([0, *pictures.column(name).to_pylist()])

    for shard, marks in groupby(plan.catalogue.done(), key=lambda mark: mark[1]):
        table, places, starts = read(shard)
        order = [places[photo_id] for photo_id, _ in marks]
        first = 0
        for i in range(1, len(order) + 1):
            if i == len(order) or order[i] != order[i - 1] + 1:  # a run of neighbours ends
                begin, end = int(starts[order[first]]), int(starts[order[i - 1] + 1])
                yield table.slice(begin, end - begin)
                first = i


def _link(source: Path, target: Path, names: set[str]) -> None:
    """Put files of tuned weights beside a table: as hard links if possible, since they never change."""
    for name in sorted(names):
        with atomic_path(target / name) as temporary:
            try:
                os.link(source / name, temporary)
            except OSError:
                shutil.copyfile(source / name, temporary)
