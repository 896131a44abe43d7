"""Photographs to codes at any scale: aligned, inverted and scored in one pass; images are kept on request.

    python -m stages.extract PHOTOS... --method METHOD --out FOLDER [--workers N]

Not a stage of dvc.yaml: its photographs do not belong to the project. flows/extract.py maps the same shards over
threads, Dask or Ray, and imports from the library only what is named here.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvert import tables
from ganvert.base.errors import GanvertError, InputError, ParamsError, StorageError, UnsupportedError, WorkerLostError
from ganvert.compute.device import resolve_device
from ganvert.extraction import (
    Job,
    Plan,
    Pool,
    Shard,
    ShardResult,
    assemble,
    check_codes,
    default_workers,
    extract,
    make_job,
    outputs_of,
    plan,
    run_shard,
    write_sample,
)
from ganvert.faces.listing import check_output
from stages.common import stage
from stages.settings import load_settings, read_generator

__all__ = [
    "GanvertError",
    "InputError",
    "Job",
    "ParamsError",
    "Plan",
    "Pool",
    "Shard",
    "ShardResult",
    "UnsupportedError",
    "WorkerLostError",
    "assemble",
    "check_codes",
    "check_output",
    "default_workers",
    "do_shard",
    "job_of",
    "methods",
    "outputs_of",
    "pipeline_photos",
    "plan",
    "run_shard",
    "shard_size",
    "statuses",
    "write_sample",
]

ASSETS = Path("data/assets")
INPUTS = Path("data/inputs")
WORK = Path(".work/extraction")
log = logging.getLogger("extract")
_NAMES = {"photos": "path", "codes": "image_id"}  # tables with a status, and the column that names a row
_one_at_a_time = threading.Lock()  # a cluster worker may have several threads, but has its models once


def job_of(method: str, overrides: Mapping[str, Any] | None = None) -> Job:
    """Return the job that params.yaml describes, for one of its methods.

    Args:
        method: a preset; one that is not in `invert.methods` starts from the shipped encoders.
        overrides: `device` and `threads` of a worker; `crops` and `reconstructions`: whether to keep them.

    Raises:
        GanvertError: a parameter or model file is at fault.
    """
    given = dict(overrides or {})
    settings = load_settings()
    generator = read_generator(settings)
    preset = settings.invert.preset(method)
    kept = {name: given.pop(name) for name in ("crops", "reconstructions") if name in given}
    align, options = settings.align.options(), settings.extract
    device, threads = given.pop("device", None) or settings.device, given.pop("threads", 1)
    if given:
        raise ParamsError(f"extract: unknown overrides {sorted(given)}")
    resolve_device(device)
    return make_job(
        align=dataclasses.replace(align, resolution=align.resolution or generator.resolution),
        invert=settings.invert.job(preset, settings.generator, INPUTS),
        metrics=options.metrics,
        keep=dataclasses.replace(options.keep, **kept),
        assets_folder=ASSETS,
        device=device,
        threads=threads,
        generator=generator,
    )


def do_shard(job: str, key: str, shard: str, work: str) -> dict[str, Any]:
    """Compute a shard and store it, in a Dask or Ray worker; return the fields of its `ShardResult`.

    Args:
        job: `Job` as JSON.
        key: its key where the run was started.
        shard: `Shard` as JSON.
        work: the work store, which every worker has to see under this path.

    Raises:
        UnsupportedError: this worker has another version of ganvert, whose codes would differ.
        StorageError: this worker does not see the work store.
        GanvertError: see `run_shard`.
    """
    own = Job.from_json(job)
    if own.key != key:
        raise UnsupportedError(
            "this worker would compute other codes than the process that started the run: install the same version of "
            "ganvert there, and give it the same masks and pictures (data/inputs)"
        )
    if not (Path(work) / key).is_dir():
        raise StorageError(f"{work}: this worker does not see the work store; mount the folder there under this path")
    with _one_at_a_time:
        return dataclasses.asdict(run_shard(own, Shard.from_json(shard), Path(work)))


def methods(root: Path = Path()) -> list[str]:
    """Return the names of all presets that the project in a folder can invert by: its own and the shipped ones."""
    with contextlib.chdir(root):
        return list(load_settings().invert.presets)


def pipeline_photos() -> list[Path]:
    """Return the photographs that the pipeline takes: `align.photos` of params.yaml."""
    return [Path(path) for path in load_settings().align.photos]


def shard_size() -> int | None:
    """Return the number of pictures of a shard that params.yaml asks for; None leaves it to the job."""
    return load_settings().extract.shard


def statuses(out: Path, most: int) -> tuple[dict[str, int], list[dict[str, str]]]:
    """Count the pictures of an extraction by status.

    Args:
        out: folder of its tables.
        most: number of reasons at most.

    Returns:
        Numbers of rows by table and status (`photos: ok`), and the first rows that are not ok with their reasons.
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


def main() -> None:
    """Run an extraction on this machine."""
    parser = argparse.ArgumentParser(prog="python -m stages.extract", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path, help="folders, pictures, .zip, .tar, .parquet, lists")
    parser.add_argument("--method", required=True, help="a preset; `ganvert methods` lists them")
    parser.add_argument("--out", required=True, type=Path, help="folder for the tables")
    parser.add_argument("--workers", type=int, help="processes; as many as this machine can feed if not given")
    arguments = parser.parse_args()
    with stage("extract") as settings:
        job, size = job_of(arguments.method), settings.extract.shard
        workers = arguments.workers or default_workers(job.device, job.threads)
        outputs = outputs_of(job, arguments.out)
        check_output(arguments.out, arguments.photos)
        run = extract(job, arguments.photos, WORK, outputs, workers=workers, shard_size=size)
        check_codes(run.rows, outputs)
        write_sample(run.plan, arguments.out / "sample.png")
        log.info("%d pictures computed, %d were done before", run.computed, run.plan.total - run.computed)


if __name__ == "__main__":
    main()
