"""Photos to aligned crops: data/photos.parquet (one row per photo, usable or not) and data/aligned.parquet."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from pathlib import Path

from ganvert import tables
from ganvert.base.errors import InputError
from ganvert.extraction import default_workers, extract, make_job
from ganvert.faces import RECIPES
from ganvert.faces.decode import TooLargeError
from stages.common import generator_of, stage

ASSETS = Path("data/assets")
WORK = Path(".work/extraction")
PHOTOS = Path("data/photos.parquet")
ALIGNED = Path("data/aligned.parquet")
log = logging.getLogger("align")


def main() -> None:
    """Align every photo of the folders; photos that cannot be used become rows with a status and a reason."""
    with stage("align") as settings:
        options, generator = settings.align.options(), generator_of(settings)
        if options.resolution is None:
            options = dataclasses.replace(options, resolution=generator.resolution)
        job = make_job(align=options, invert=None, assets_folder=ASSETS, device="cpu", threads=1)
        inputs = [Path(path) for path in settings.align.photos]
        outputs = {"photos": PHOTOS, "aligned": ALIGNED}
        run = extract(job, inputs, WORK, outputs, workers=default_workers("cpu", 1), what="align")
        if not run.rows["aligned"]:
            ALIGNED.unlink()  # nothing that could be mistaken for a result
            first = next(tables.rows(PHOTOS, tables.PHOTOS, ["reason"]))["reason"]
            raise InputError(
                f"none of {run.rows['photos']} photos could be aligned (reasons: {PHOTOS}, column reason; the first: "
                f"{first}); put photos {'with a frontal face ' if RECIPES[options.recipe].needs_face else ''}into "
                f"{' or '.join(settings.align.photos)}"
            )
        status = Counter(row["status"] for row in tables.rows(PHOTOS, tables.PHOTOS, ["status"], 4096))
        log.info("%d of %d photos gave %d crops", status["ok"], run.rows["photos"], run.rows["aligned"])
        if count := status[TooLargeError.status]:
            log.warning("%d photos are too large (%s says why); align.max_pixels sets the limit", count, PHOTOS)


if __name__ == "__main__":
    main()
