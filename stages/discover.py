"""Find directions in W and Z from scored samples: data/samples.parquet to data/directions.parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ganvert.base.files import write_json
from ganvert.directions import DIRECTIONS, Direction, load_samples, save_directions
from stages.common import stage

SAMPLES = Path("data/samples.parquet")
OUT = Path("data/directions.parquet")
FIGURES = Path("reports/directions.json")


def figures(directions: list[Direction]) -> dict[str, Any]:
    """DVC metrics: method, space, name, then the unit and the quality of the fit."""
    tree: dict[str, Any] = {}
    for one in directions:
        tree.setdefault(one.method, {}).setdefault(one.space, {})[one.name] = {"unit": one.unit, **one.quality}
    return tree


def main() -> None:
    """Run every method that params.yaml lists, check all options before the first."""
    with stage("discover") as settings:
        options = settings.discover.options()
        samples = load_samples(SAMPLES)
        found = [one for name in options for one in DIRECTIONS[name].find(samples, options[name])]
        facts = {"params": json.dumps(settings.discover.methods, sort_keys=True), "generator": samples.generator}
        save_directions(OUT, found, facts)
        write_json(FIGURES, figures(found))


if __name__ == "__main__":
    main()
