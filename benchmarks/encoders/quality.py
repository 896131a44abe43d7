"""Reconstructions of each encoder, without a step of optimisation. Baselines: w_avg's picture, the first encoder."""

from __future__ import annotations

import argparse

from PIL import Image

from benchmarks.encoders.bench import (
    ENCODERS,
    Bench,
    Row,
    kept,
    numbers,
    per_image,
)
from ganvert.images import to_pil
from ganvert.scoring.statistics import summarise

QUALITY = ("lpips_vgg", "lpips_alex", "mse", "ssim", "identity_dlib")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument(
        "--metrics", nargs="+", default=QUALITY, help="identity_mobilefacenet is a judge that no encoder learns from"
    )


def run(bench: Bench) -> None:
    """Score every encoder alone, against the picture of w_avg."""
    mean = to_pil(bench.generator.synthesize(ws=bench.generator.w_avg.expand(1, bench.generator.num_ws, -1)))[0]
    folder, metrics = bench.out / "quality", tuple(bench.options.metrics)
    results: dict[str, list[Row]] = {
        "w_avg": [
            kept(
                folder / "w_avg" / crop.image_id / "scores.json",
                bench.key(crop, metrics=list(metrics)),
                lambda crop=crop: bench.scores(mean, crop, metrics),  # type: ignore[misc]
            )
            for crop in bench.crops
        ]
    }
    for encoders in bench.options.encoders:
        preset, context = bench.alone(encoders)
        results[encoders] = [
            bench.scored(folder / encoders.replace("/", "-") / crop.image_id, crop, preset, context, metrics)
            for crop in bench.crops
        ]
    names = [bench.label(name) for name in metrics]
    lines = [
        {"encoder": name, **{what: summarise(numbers(rows, what)) for what in names}} for name, rows in results.items()
    ]
    over = [
        {"encoder": name, **{what: summarise(numbers(rows, what) / numbers(results["w_avg"], what)) for what in names}}
        for name, rows in results.items()
        if name != "w_avg"
    ]
    first, *others = bench.options.encoders
    less = [
        {"encoder": name, **{w: summarise(numbers(results[name], w) - numbers(results[first], w)) for w in names}}
        for name in others
    ]
    tables = {"One pass, no optimisation": lines, "Over w_avg": over} | ({f"Less {first}": less} if less else {})
    bench.report(
        "quality",
        tables,
        "identity_dlib is a distance, 0.6 the model's threshold; a picture or photograph without a face counts as "
        "missing there. w_avg is one picture for all; ratios to it are taken per photograph, then averaged; "
        "differences are taken per photograph too.",
        per_image(bench, results),
    )
    pictures = {"photograph": [crop.image for crop in bench.shown()]}
    for encoders in bench.options.encoders:
        pictures[encoders] = [
            Image.open(folder / encoders.replace("/", "-") / crop.image_id / "picture.png") for crop in bench.shown()
        ]
    bench.sheet("quality", pictures, len(bench.shown()))
