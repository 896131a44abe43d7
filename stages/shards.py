"""For flows/extract.py, beside stages/extract.py: a shard on a cluster's worker, and what became of the pictures."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from ganvert import params, tables
from ganvert.errors import GanvertError, InputError, ParamsError, StorageError, UnsupportedError, WorkerLostError
from ganvert.extraction import Job, Shard, run_shard
from stages.settings import PARAMS, check

__all__ = [
    "GanvertError",
    "InputError",
    "ParamsError",
    "UnsupportedError",
    "WorkerLostError",
    "do_shard",
    "shard_size",
    "statuses",
]

_NAMES = {"photos": "path", "codes": "image_id"}  # tables with a status, and what their rows are called
_alone = threading.Lock()


def do_shard(job: str, key: str, shard: str, work: str) -> dict[str, Any]:
    """Do a shard and store it, in a Dask or Ray worker; returns the fields of its `ShardResult`.

    Args:
        job: `Job` as JSON.
        key: its key where the run was started.
        shard: `Shard` as JSON.
        work: the work store, which every worker has to see under this path.

    Raises:
        UnsupportedError: this worker's ganvert is another version, so its codes would be others.
        StorageError: this worker does not see the work store.
        GanvertError: see `run_shard`.
    """
    told = Job.from_json(job)
    if told.key != key:
        raise UnsupportedError(
            "this worker computes codes by other rules than the run was started with: install the same version of "
            "ganvert there, and give it the same masks and pictures (data/inputs)"
        )
    if not (Path(work) / key).is_dir():
        raise StorageError(f"{work}: this worker does not see the work store; mount the folder there under this path")
    with _alone:  # the models are there once, also where a worker was given several threads
        return dataclasses.asdict(run_shard(told, Shard.from_json(shard), Path(work)))


def shard_size() -> int | None:
    """Pictures of a shard as params.yaml has it; None leaves it to the job."""
    size: int | None = check(params.load(PARAMS))["extract"].shard
    return size


def statuses(out: Path, most: int) -> tuple[dict[str, int], list[dict[str, str]]]:
    """What became of the pictures of an extraction.

    Args:
        out: folder of its tables.
        most: reasons at most.

    Returns:
        Rows by table and status (`photos: ok`), and the first rows of another status than ok with their reasons.
    """
    counts, reasons = Counter[str](), list[dict[str, str]]()
    for table, name in _NAMES.items():
        path = out / f"{table}.parquet"
        if not path.exists():
            continue
        for part in tables.batches(path, table, [name, "status", "reason"], 4096):
            counts.update(f"{table}: {status}" for status in part.column("status").to_pylist())
            bad = (row for row in part.to_pylist() if row["status"] != "ok")
            reasons += [{"picture": row[name], "status": row["status"], "reason": row["reason"]} for row in bad]
            del reasons[most:]
    return dict(sorted(counts.items())), reasons
