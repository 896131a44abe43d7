"""Edits of the codes of one pass: how far scores move and who is still there. Baseline: the unedited reconstruction."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from benchmarks.encoders.bench import Bench, Row, kept, numbers, per_image, save_small
from ganvert.assets.shipped import shipped
from ganvert.codes import Code, codes_of_inversion
from ganvert.directions import choose, load_directions
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import EDITS
from ganvert.editing.render import draw_edit
from ganvert.faces import ATTRIBUTES, AttributeScorer
from ganvert.inversion.run import Crop
from ganvert.sampling import read_score_table
from ganvert.scoring.metrics import metric
from ganvert.scoring.score import score_edits
from ganvert.scoring.statistics import summarise

_JUDGE = "identity_mobilefacenet"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--encoder", default="wplus:wplus")
    parser.add_argument("--directions", nargs="+", default=["smile", "age", "yaw", "glasses"])
    parser.add_argument("--amounts", nargs="+", type=float, default=[-2.0, 2.0])


def run(bench: Bench) -> None:
    """Move every one-pass code along the shipped directions, and score the pictures."""
    options = bench.options
    directions = load_directions(shipped("directions_ffhq.parquet"), bench.generator)
    scores = read_score_table(shipped("scores_ffhq.parquet"), bench.generator)[0]
    scorer = AttributeScorer(bench.assets, [name for name in options.directions if name in ATTRIBUTES])
    judge = metric(_JUDGE, bench.assets, moved=True)
    preset, context = bench.alone(options.encoder)
    arms = [(name, amount) for name in options.directions for amount in options.amounts]

    def edited(crop: Crop) -> Row:
        inversion, plain, _ = bench.invert(crop, preset, context)
        code: Code = codes_of_inversion(inversion, [crop.image_id], preset.name, bench.generator)[0]
        facts: Row = {"plain": scorer.score([plain])[0]}
        for name, amount in arms:
            inputs = EditInputs(code=code, directions=[(choose(directions, name, code.space.direction_space), 1.0)])
            picture = draw_edit(EDITS["shift"], inputs, amount)
            save_small(picture, bench.out / "edits" / crop.image_id / f"{name}{amount:+g}.png")
            rows = score_edits({}, picture, plain, crop.image, [judge], scorer, bench.generator.image_channels)
            facts[f"{name}{amount:+g}"] = {row["metric"]: row["value"] for row in rows}
        save_small(plain, bench.out / "edits" / crop.image_id / "plain.png")
        return facts

    folder = bench.out / "edits"
    results = [
        kept(
            folder / crop.image_id / "scores.json",
            bench.key(crop, preset, context, arms=arms),
            lambda crop=crop: edited(crop),  # type: ignore[misc]
        )
        for crop in bench.crops
    ]
    lines = [_line(results, name, amount, scores.get(name, {})) for name, amount in arms]
    bench.report(
        "edits",
        {"Edits of one-pass codes": lines},
        "change: of the direction's own score, in standard deviations over the shipped samples; cosine: of "
        "MobileFaceNet's descriptors, of the edit and the unedited reconstruction.",
        per_image(bench, {options.encoder: results}),
    )
    columns = ["plain", *(f"{name}{amount:+g}" for name, amount in arms)]
    pictures = {"photograph": [crop.image for crop in bench.shown()]}
    for column in columns:
        pictures[column] = [Image.open(folder / crop.image_id / f"{column}.png") for crop in bench.shown()]
    bench.sheet("edits", pictures, len(bench.shown()))


def _line(results: Sequence[Row], name: str, amount: float, samples: Mapping[int, float]) -> Row:
    """Return the line of one edit; without a score of the direction's name there is no change to report."""
    arm = f"{name}{amount:+g}"
    edits, plain = [row[arm] for row in results], [row["plain"] for row in results]
    change = np.full(len(results), np.nan)
    if samples:
        change = (numbers(edits, name) - numbers(plain, name)) / np.std(list(samples.values()))
    return {"edit": arm, "cosine": summarise(numbers(edits, _JUDGE)), "change": summarise(change)}
