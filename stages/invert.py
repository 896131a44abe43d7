"""invert METHOD: data/aligned.parquet -> data/codes/METHOD.{parquet,tuned} and data/reconstructions/METHOD.parquet."""

from __future__ import annotations

import itertools
import logging
import sys
from pathlib import Path

from ganvert import tables
from ganvert.base.errors import InputError
from ganvert.base.files import atomic_path
from ganvert.base.registry import lookup
from ganvert.extraction import Keep, extract, make_job
from ganvert.inversion.presets import read_preset
from stages.common import generator_of, resolved_options, stage
from stages.settings import check_references

ASSETS = Path("data/assets")
INPUTS = Path("data/inputs")
PRESETS = Path("data/presets")
ALIGNED = Path("data/aligned.parquet")
WORK = Path(".work/extraction")
FIRST = Path(".work/first")
CODES = Path("data/codes")
RECONSTRUCTIONS = Path("data/reconstructions")
log = logging.getLogger("invert")


def main() -> None:
    """Run the stage for the method named on the command line."""
    with stage("invert") as settings:
        if len(sys.argv) != 2:
            raise InputError("usage: python -m stages.invert METHOD")
        method = sys.argv[1]
        lookup(settings.invert.methods, method, "method in invert.methods")
        preset = read_preset(method, resolved_options(PRESETS / f"{method}.yaml"))
        generator = generator_of(settings)
        check_references(settings)
        job = make_job(
            align=None,
            invert=settings.invert.job(preset, settings.generator, INPUTS),
            keep=Keep(reconstructions=True),
            assets_folder=ASSETS,
            device=settings.device,
            generator=generator,
        )
        codes = CODES / f"{method}.parquet"
        outputs = {"codes": codes, "reconstructions": RECONSTRUCTIONS / f"{method}.parquet"}
        crops = first_crops(method, settings.invert.first[method]) if method in settings.invert.first else ALIGNED
        run = extract(job, [crops], WORK, outputs, shard_size=settings.invert.shard, what=method)
        with atomic_path(CODES / f"{method}.tuned" / ".keep") as path:  # DVC needs the folder, and not empty
            path.touch()
        inverted = sum(row["status"] == "ok" for row in tables.rows(codes, "codes", ["status"], 4096))
        log.info("%s: %d of %d images inverted", method, inverted, run.rows["codes"])


def first_crops(method: str, count: int) -> Path:
    """Write a table of the first aligned crops for a method, and return its path."""
    path = FIRST / f"{method}.parquet"
    rows = list(itertools.islice(tables.rows(ALIGNED, tables.ALIGNED, tables.ALIGNED.schema().names, 1), count))
    tables.write(path, tables.ALIGNED, rows)
    return path


if __name__ == "__main__":
    main()
