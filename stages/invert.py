"""invert METHOD: data/aligned.parquet -> data/codes/METHOD.{parquet,tuned} and data/reconstructions/METHOD.parquet."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from ganvert import tables
from ganvert.codes import codes_of_inversion, write_codes
from ganvert.errors import InputError
from ganvert.files import atomic_path
from ganvert.images import from_png, to_pil, to_png
from ganvert.invert import Crop, invert_crops, make_context, seeds_for
from stages.common import generator_of, stage

ASSETS = Path("data/assets")
INPUTS = Path("data/inputs")
ALIGNED = Path("data/aligned.parquet")
WORK = Path(".work/invert")
CODES = Path("data/codes")
RECONSTRUCTIONS = Path("data/reconstructions")
log = logging.getLogger("invert")


def main() -> None:
    """Run the stage for the method named on the command line."""
    with stage("invert") as told:
        if len(sys.argv) != 2:
            raise InputError("usage: python -m stages.invert METHOD")
        method, options = sys.argv[1], told["invert"]
        preset = options.preset(method)
        data = tables.read(ALIGNED, tables.ALIGNED)
        crops = [Crop(row["image_id"], from_png(row["crop"])) for row in data.select(["image_id", "crop"]).to_pylist()]
        weights = Path(options.methods[method])
        context = make_context(preset, generator_of(told), weights, ASSETS, INPUTS)
        inversion = invert_crops(crops, preset, context, seed=options.seed, batch=options.batch, work=WORK)
        ids = [crop.image_id for crop in crops]
        seeds = seeds_for(crops, method, options.seed)
        write_codes(CODES / f"{method}.parquet", preset, inversion, ids, seeds, context)
        with atomic_path(CODES / f"{method}.tuned" / ".keep") as path:  # DVC wants the folder, and something in it
            path.touch()
        codes = codes_of_inversion(inversion, ids, method, context.generator)
        rows = [
            {"image_id": image_id, "method": method, "png": to_png(to_pil(codes.select(i).draw())[0])}
            for i, image_id in enumerate(ids)
        ]
        facts = {"image_channels": str(context.generator.image_channels)}
        tables.write(RECONSTRUCTIONS / f"{method}.parquet", tables.RECONSTRUCTIONS, rows, facts)
        log.info("%s: %d of %d images inverted", method, inversion.status.count("ok"), len(ids))


if __name__ == "__main__":
    main()
