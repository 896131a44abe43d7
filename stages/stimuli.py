"""stimuli NAME: codes of `edit.method` and directions -> data/stimuli/NAME: measured pictures, their table and text."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from ganvert import tables
from ganvert.base.errors import GanvertError, InputError
from ganvert.base.files import file_names, mark_output
from ganvert.base.registry import lookup
from ganvert.codes import batches, space_of
from ganvert.directions import choose_rows, load_directions
from ganvert.editing.edits import make_edit
from ganvert.editing.population import Population
from ganvert.editing.stimulus_set import Meter, Person, check_series, facts_of, make_stimuli
from ganvert.faces import RECIPES
from ganvert.generators import Generator
from ganvert.images import from_png
from stages.common import generator_of, stage

ASSETS = Path("data/assets")
ALIGNED = Path("data/aligned.parquet")
CODES = Path("data/codes")
DIRECTIONS = Path("data/directions.parquet")
OUT = Path("data/stimuli")
log = logging.getLogger("stimuli")


def main() -> None:
    """Make the set that is named on the command line."""
    with stage("stimuli") as settings:
        if len(sys.argv) != 2:
            raise InputError("usage: python -m stages.stimuli NAME")
        name = sys.argv[1]
        spec = lookup(settings.stimuli.sets, name, "set in stimuli.sets")
        generator = generator_of(settings)
        table, population = CODES / f"{settings.edit.method}.parquet", Population(generator)
        space, known = space_of(table, generator), load_directions(DIRECTIONS, generator)
        faces = RECIPES[settings.align.recipe].needs_face
        try:
            wanted = (*spec.directions, *spec.targets)
            rows = generator.num_ws
            series = spec.series({name: choose_rows(known, name, space.direction_space, rows) for name in wanted})
            make_edit("shift").check_space(space, [item.direction for item in series])
            check_series(series, faces)
            for item in series:
                if item.percentiles:
                    population.check(space, item.direction)
        except GanvertError as error:
            raise type(error)(f"stimuli.sets.{name}: {error}") from error
        mark_output(OUT / name)
        made = make_stimuli(
            people(table, generator),
            series,
            OUT / name,
            meter=Meter(ASSETS if faces else None),
            population=population,
            presentation=dataclasses.replace(spec, size=spec.size or generator.resolution),
            facts=facts_of(settings.edit.method, settings.align.recipe, generator, DIRECTIONS),
        )
        log.info("%s: %d pictures", OUT / name, made)


def people(table: Path, generator: Generator) -> Iterator[Person]:
    """Yield the people of a table of codes, called after their photographs."""
    rows = tables.rows(ALIGNED, tables.ALIGNED, ["image_id", "path", "face"], 4096)
    known = {row["image_id"]: Path(row["path"]).stem + f" face {row['face'] + 1}" * (row["face"] > 0) for row in rows}
    names = dict(zip(known, file_names(known.values()), strict=True))
    with tables.Lookup(ALIGNED, tables.ALIGNED, "image_id", ["crop"]) as crops:
        for codes in batches(table, generator):
            for code in codes:
                yield Person(name=names[code.image_id], code=code, crop=from_png(crops[code.image_id]["crop"]))


if __name__ == "__main__":
    main()
