"""edit: codes of one method and directions -> data/edits.parquet (crops and pasted-back photographs)."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from ganvert import tables
from ganvert.codes import read_codes
from ganvert.directions import choose, load_directions
from ganvert.editing import draw_edit, paste_edit
from ganvert.faces import open_photo
from ganvert.images import from_png, to_png
from ganvert.runtime import progress
from stages.common import generator_of, stage

ALIGNED = Path("data/aligned.parquet")
CODES = Path("data/codes")
RECONSTRUCTIONS = Path("data/reconstructions")
DIRECTIONS = Path("data/directions.parquet")
OUT = Path("data/edits.parquet")
log = logging.getLogger("edit")


def main() -> None:
    """Run the stage."""
    with stage("edit") as settings:
        told = settings["edit"]
        generator = generator_of(settings)
        directions = load_directions(DIRECTIONS, generator)
        codes = read_codes(CODES / f"{told.method}.parquet", generator)
        for spec in told.edits.values():
            choose(directions, spec.direction, codes.space.direction_space)  # a wrong name stops before any work
        faces = {row["image_id"]: row for row in tables.read(ALIGNED, tables.ALIGNED).drop(["crop"]).to_pylist()}
        drawn = tables.read(RECONSTRUCTIONS / f"{told.method}.parquet", tables.RECONSTRUCTIONS)
        pictures = dict(zip(drawn["image_id"].to_pylist(), drawn["png"].to_pylist(), strict=True))
        jobs = [(i, spec) for i in range(len(codes.image_ids)) for spec in told.edits.values()]
        rows = []
        for i, spec in progress(jobs, len(jobs), "edits"):
            image_id = codes.image_ids[i]
            face, reconstruction = faces[image_id], from_png(pictures[image_id])
            photo = open_photo(Path(face["path"]), settings["align"].max_pixels).image if spec.pasted else None
            quad = np.array(face["quad"]).reshape(4, 2)
            for amount in spec.amounts:
                picture = draw_edit(codes.select(i), directions, spec, amount)
                pasted = None
                if photo is not None and amount in spec.pasted:
                    pasted = to_png(paste_edit(photo, picture, reconstruction, quad, told.paste))
                rows.append(
                    {"image_id": image_id, "method": told.method, "direction": spec.direction, "amount": amount}
                    | {"crop": to_png(picture), "pasted": pasted}
                )
        tables.write(OUT, tables.EDITS, rows)
        log.info("%d edited pictures of %d images", len(rows), len(codes.image_ids))


if __name__ == "__main__":
    main()
