"""invert METHOD: data/aligned.parquet -> data/codes/METHOD.{parquet,tuned} and data/reconstructions/METHOD.parquet."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from ganvert import tables
from ganvert.base.errors import InputError
from ganvert.base.files import atomic_path
from ganvert.extraction import Keep, extract, make_job
from stages.common import generator_of, stage

ASSETS = Path("data/assets")
INPUTS = Path("data/inputs")
ALIGNED = Path("data/aligned.parquet")
WORK = Path(".work/extraction")
CODES = Path("data/codes")
RECONSTRUCTIONS = Path("data/reconstructions")
log = logging.getLogger("invert")


def main() -> None:
    """Run the stage for the method named on the command line."""
    with stage("invert") as sections:
        if len(sys.argv) != 2:
            raise InputError("usage: python -m stages.invert METHOD")
        method, options = sys.argv[1], sections["invert"]
        generator_of(sections)  # refuses parameters that do not fit it
        job = make_job(
            align=None,
            invert=options.of(method, sections["generator"], INPUTS),
            keep=Keep(reconstructions=True),
            assets_folder=ASSETS,
            device=str(sections["device"]),
        )
        codes = CODES / f"{method}.parquet"
        outputs = {"codes": codes, "reconstructions": RECONSTRUCTIONS / f"{method}.parquet"}
        run = extract(job, [ALIGNED], WORK, outputs, shard_size=options.shard, what=method)
        with atomic_path(
            CODES / f"{method}.tuned" / ".keep"
        ) as path:  # DVC needs the folder to exist and not to be empty
            path.touch()
        inverted = sum(row["status"] == "ok" for row in tables.rows(codes, "codes", ["status"], 4096))
        log.info("%s: %d of %d images inverted", method, inverted, run.rows["codes"])


if __name__ == "__main__":
    main()
