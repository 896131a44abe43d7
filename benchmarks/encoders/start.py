"""Few steps from the encoder's code, all else equal. Baseline: many steps from w_avg."""

from __future__ import annotations

import argparse

from PIL import Image

from benchmarks.encoders.bench import Bench, Row, numbers, per_image, shortened
from ganvert.inversion.presets import Context, Preset, read_preset
from ganvert.scoring.statistics import summarise

START = ("mse", "lpips_vgg", "lpips_alex", "identity_dlib", "identity_mobilefacenet")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--preset", default="cpu_wplus")
    parser.add_argument("--arms", nargs="+", default=["encoder:50", "mean:200"], metavar="INIT:STEPS")


def run(bench: Bench) -> None:
    """Compare the first arm, INIT:STEPS, with each of the others, paired by photograph."""
    raw = bench.presets.resolve(bench.options.preset).options
    arms: dict[str, tuple[Preset, Context]] = {}
    for arm in bench.options.arms:
        init, _, steps = arm.partition(":")
        # One name for all: where anything is random, it is the same for a photograph.
        preset = read_preset(bench.options.preset, shortened(raw, int(steps), init=init))
        arms[arm] = preset, bench.context(preset, ("wplus",) if preset.needs_encoder else ())
    folder = bench.out / "start"
    results: dict[str, list[Row]] = {arm: [] for arm in arms}
    # Photograph by photograph, so that an unfinished run compares whole rows.
    for crop in bench.crops:
        for arm, (preset, context) in arms.items():
            place = folder / arm.replace(":", "-") / crop.image_id
            results[arm].append(bench.scored(place, crop, preset, context, START))
    names = [bench.label(name) for name in START]
    first = next(iter(results))
    lines, pairs, ratios = [], [], []
    for arm, rows in results.items():
        options = arms[arm][0].options
        lines.append(
            {
                "start:steps": arm,
                "preview steps": options.preview_steps,
                **{what: summarise(numbers(rows, what)) for what in (*names, "core_s")},
            }
        )
        if arm != first:
            both = {what: numbers(results[first], what) - numbers(rows, what) for what in names}
            ratio = {what: numbers(results[first], what) / numbers(rows, what) for what in (*names, "core_s")}
            ratios.append(
                {"ratio": f"{first} over {arm}", **{what: summarise(values) for what, values in ratio.items()}}
            )
            pairs.append(
                {
                    "difference": f"{first} less {arm}",
                    **{what: summarise(values) for what, values in both.items()},
                    f"{names[0]} lower in": f"{int((both[names[0]] < 0).sum())} of {len(rows)}",
                }
            )
    bench.report(
        "start",
        {"At the end": lines} | ({"Paired by photograph": pairs, "Ratios": ratios} if pairs else {}),
        f"Preset {bench.options.preset} with another start and number of steps: objective, rate, ramps (a share of the "
        "steps) and the share of preview steps are the same. Negative differences: the first is nearer.",
        per_image(bench, results),
    )
    pictures = {"photograph": [crop.image for crop in bench.shown()]}
    for arm in arms:
        place = folder / arm.replace(":", "-")
        pictures[arm] = [Image.open(place / crop.image_id / "picture.png") for crop in bench.shown()]
    bench.sheet("start", pictures, len(bench.shown()))
