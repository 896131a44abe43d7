"""discover: scored samples, and what else a finder declares -> data/directions.parquet, figures of their fits."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ganvert.base.files import write_json
from ganvert.codes import read_codes
from ganvert.directions import (
    DIRECTIONS,
    Direction,
    Finder,
    FinderInputs,
    Samples,
    load_directions,
    load_samples,
    save_directions,
)
from ganvert.faces.parsing import load_parser
from ganvert.generators import Generator
from stages.common import generator_of, stage
from stages.inputs import crops_of, find_images, mask_of
from stages.sections import Settings

ASSETS = Path("data/assets")
SAMPLES = Path("data/samples.parquet")
CODES = Path("data/codes")
OUT = Path("data/directions.parquet")
FIGURES = Path("reports/directions.json")


def figures(directions: Iterable[Direction]) -> dict[str, Any]:
    """Return DVC metrics: method, space, name, then the unit and the quality of the fit."""
    tree: dict[str, Any] = {}
    for direction in directions:
        facts = {"unit": direction.unit, **direction.quality}
        tree.setdefault(direction.method, {}).setdefault(direction.space, {})[direction.name] = facts
    return tree


def inputs_of(finder: Finder, options: Any, samples: Samples, generator: Generator | None) -> FinderInputs:
    """Return the inputs that a finder declares.

    Raises:
        InputError: a mask or photograph that its options name is missing.
        TableError: codes or directions that its options name are missing, or of another generator.
    """
    needs = finder.needs_with(options)
    if not needs or generator is None:
        return FinderInputs(samples=samples)
    photographs = find_images(options.photographs) if "photographs" in needs else []
    return FinderInputs(
        samples=samples,
        generator=generator,
        masks={name: mask_of(name, "", generator.resolution) for name in options.masks} if "masks" in needs else {},
        parser=load_parser(ASSETS) if "parser" in needs else None,
        codes=read_codes(CODES / f"{options.codes}.parquet", generator) if "codes" in needs else None,
        photographs=dict(zip(photographs, crops_of(photographs), strict=True)),
        directions=load_directions(Path(options.directions), generator) if "directions" in needs else {},
    )


def find_all(settings: Settings, samples: Samples) -> list[Direction]:
    """Return the directions of every method that params.yaml lists."""
    options = settings.discover.options()
    # The generator is large: it is read only for finders that declare inputs beside the samples.
    wanted = any(DIRECTIONS[name].needs_with(chosen) for name, chosen in options.items())
    generator = generator_of(settings) if wanted else None
    directions = []
    for name in options:
        finder = DIRECTIONS[name]
        directions += finder.find(inputs_of(finder, options[name], samples, generator), options[name])
    return directions


def main() -> None:
    """Run the stage; all options are checked before the first method runs."""
    with stage("discover") as settings:
        samples = load_samples(SAMPLES)
        directions = find_all(settings, samples)
        params = json.dumps(settings.discover.methods, sort_keys=True)
        save_directions(OUT, directions, {"params": params, "generator": samples.generator})
        write_json(FIGURES, figures(directions))


if __name__ == "__main__":
    main()
