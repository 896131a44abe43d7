"""Photographs to codes at any scale: align, invert and evaluate in one pass; pictures are kept only if asked for.

    python -m stages.extract PHOTOS... --method METHOD --out FOLDER [--workers N]

Not a stage of dvc.yaml: what it works on does not belong to the project. flows/extract.py maps the same shards over
threads, Dask or Ray.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvert import params
from ganvert.errors import ParamsError
from ganvert.extraction import (
    Job,
    Plan,
    Pool,
    Shard,
    ShardResult,
    assemble,
    default_workers,
    extract,
    make_job,
    outputs_of,
    plan,
    run_shard,
    write_sample,
)
from ganvert.generators import load_generator
from ganvert.runtime import resolve_device
from stages.common import stage
from stages.settings import PARAMS, check, check_for

__all__ = [
    "Job",
    "Plan",
    "Pool",
    "Shard",
    "ShardResult",
    "assemble",
    "default_workers",
    "job_of",
    "outputs_of",
    "plan",
    "run_shard",
    "write_sample",
]

ASSETS = Path("data/assets")
INPUTS = Path("data/inputs")
WORK = Path(".work/extraction")
log = logging.getLogger("extract")


def job_of(method: str, overrides: Mapping[str, Any] | None = None) -> Job:
    """The job that params.yaml describes, for one of its methods.

    Args:
        method: a preset of `invert.options`; one that is not in `invert.methods` starts from what comes with ganvert.
        overrides: `device` and `threads` of a worker; `crops` and `reconstructions`, whether they are kept.

    Raises:
        GanvertError: a parameter or model file is at fault.
    """
    given = dict(overrides or {})
    raw = params.load(PARAMS)
    told = check(raw)
    generator = load_generator(told["generator"].path, told["generator"].label)
    check_for(generator, told)
    invert = told["invert"].of(method, told["generator"], INPUTS)
    invert.read().check(generator)
    kept = {name: given.pop(name) for name in ("crops", "reconstructions") if name in given}
    align, options = told["align"].options(), told["extract"]
    device, threads = given.pop("device", None) or raw["device"], given.pop("threads", 1)
    if given:
        raise ParamsError(f"extract: unknown overrides {sorted(given)}")
    resolve_device(device)
    return make_job(
        align=dataclasses.replace(align, resolution=align.resolution or generator.resolution),
        invert=invert,
        metrics=options.metrics,
        keep=dataclasses.replace(options.keep, **kept),
        assets_folder=ASSETS,
        device=device,
        threads=threads,
    )


def main() -> None:
    """Run it on this machine."""
    parser = argparse.ArgumentParser(prog="python -m stages.extract", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path, help="folders, pictures, .zip, .tar, .parquet, lists")
    parser.add_argument("--method", required=True, help="a preset of params.yaml")
    parser.add_argument("--out", required=True, type=Path, help="folder for the tables")
    parser.add_argument("--workers", type=int, help="processes; as many as this machine can feed if not given")
    arguments = parser.parse_args()
    with stage("extract") as told:
        job, size = job_of(arguments.method), told["extract"].shard
        workers = arguments.workers or default_workers(job.device, job.threads)
        outputs = outputs_of(job, arguments.out)
        found = extract(job, arguments.photos, WORK, outputs, workers=workers, shard_size=size)
        write_sample(found.plan, arguments.out / "sample.png")
        log.info("%d pictures computed, %d were done before", found.computed, found.plan.total - found.computed)


if __name__ == "__main__":
    main()
