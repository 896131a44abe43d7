"""Photos to aligned crops: data/photos.parquet (one row per photo, whatever became of it) and data/aligned.parquet."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from ganvert import tables
from ganvert.errors import InputError
from ganvert.faces import RECIPES, FaceDetector, align_photos, find_photos
from stages.common import generator_of, stage

ASSETS = Path("data/assets")
PHOTOS = Path("data/photos.parquet")
ALIGNED = Path("data/aligned.parquet")
log = logging.getLogger("align")


def main() -> None:
    """Align every photo of the folders; photos that cannot be used become rows with a status and a reason."""
    with stage("align") as told:
        options, generator = told["align"], generator_of(told)
        if options.resolution is None:
            options = dataclasses.replace(options, resolution=generator.resolution)
        detector = FaceDetector(ASSETS) if RECIPES[options.recipe].needs_face else None
        paths = find_photos(Path(path) for path in options.photos)
        photos, aligned = align_photos(paths, Path(), options, detector)
        facts = {"recipe": options.recipe, "resolution": str(options.resolution)}
        tables.write(PHOTOS, tables.PHOTOS, photos, facts)
        if not aligned:
            raise InputError(
                f"none of {len(photos)} photos could be aligned (reasons: {PHOTOS}, column reason; the first: "
                f"{photos[0]['reason']}); put photos {'with a frontal face ' if detector else ''}into "
                f"{' or '.join(options.photos)}"
            )
        tables.write(ALIGNED, tables.ALIGNED, aligned, facts)
        log.info(
            "%d of %d photos gave %d crops", sum(row["status"] == "ok" for row in photos), len(photos), len(aligned)
        )


if __name__ == "__main__":
    main()
