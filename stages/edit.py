"""edit: codes of one method and directions -> data/edits.parquet (crops and pasted-back photographs)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganvert import tables
from ganvert.codes import Codes, batches, space_of
from ganvert.compute.progress import progress
from ganvert.directions import Direction, choose, load_directions
from ganvert.editing.render import EditSpec, draw_edit, paste_edit
from ganvert.faces import open_photo
from ganvert.images import from_png, to_png
from stages.common import generator_of, stage
from stages.sections import Settings

ALIGNED = Path("data/aligned.parquet")
CODES = Path("data/codes")
RECONSTRUCTIONS = Path("data/reconstructions")
DIRECTIONS = Path("data/directions.parquet")
OUT = Path("data/edits.parquet")
log = logging.getLogger("edit")


def main() -> None:
    """Run the stage."""
    with stage("edit") as settings:
        options = settings.edit
        generator = generator_of(settings)
        directions = load_directions(DIRECTIONS, generator)
        table = CODES / f"{options.method}.parquet"
        space = space_of(table, generator)
        for spec in options.edits.values():
            choose(directions, spec.direction, space.direction_space)  # a wrong name stops before any work
        images, pictures = tables.count(table, "codes"), 0
        with (
            tables.Lookup(ALIGNED, tables.ALIGNED, "image_id", ["path", "quad"]) as faces,
            tables.Lookup(
                RECONSTRUCTIONS / f"{options.method}.parquet", tables.RECONSTRUCTIONS, "image_id", ["png"]
            ) as drawn,
            tables.Writer(OUT, tables.EDITS) as out,
        ):
            one_by_one = (part.select(i) for part in batches(table, generator) for i in range(len(part.image_ids)))
            for codes in progress(one_by_one, images, "edits"):
                (image_id,) = codes.image_ids
                face, reconstruction = faces[image_id], from_png(drawn[image_id]["png"])
                for spec in options.edits.values():
                    for row in _edits(codes, directions, spec, face, reconstruction, settings):
                        out.add([row | {"image_id": image_id, "method": options.method, "direction": spec.direction}])
                        pictures += 1
        log.info("%d edited pictures of %d images", pictures, images)


def _edits(
    codes: Codes,
    directions: Mapping[tuple[str, str], Direction],
    spec: EditSpec,
    face: Mapping[str, Any],
    reconstruction: Image.Image,
    settings: Settings,
) -> Iterator[dict[str, Any]]:
    """The pictures of one face along one direction: `amount`, `crop` and `pasted` of their rows."""
    photo = open_photo(Path(face["path"]), settings.align.max_pixels).image if spec.pasted else None
    quad = np.array(face["quad"]).reshape(4, 2)
    for amount in spec.amounts:
        picture = draw_edit(codes, directions, spec, amount)
        pasted = None
        if photo is not None and amount in spec.pasted:
            pasted = to_png(paste_edit(photo, picture, reconstruction, quad, settings.edit.paste))
        yield {"amount": amount, "crop": to_png(picture), "pasted": pasted}


if __name__ == "__main__":
    main()
