"""Steps that F/Z+ needs from an encoder's prediction. Baseline: the generator's own feature at w_avg, random rows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from benchmarks.encoders.bench import Bench, Names, Row, kept, numbers, per_image, save_small, shortened
from ganvert.compute.precision import Engine
from ganvert.images import area_resize, as_rgb, from_pil
from ganvert.inversion.presets import Context, Preset, read_preset
from ganvert.inversion.run import Crop, targets_of
from ganvert.scoring.metrics.pixel import mse
from ganvert.scoring.statistics import summarise

#: Route -> where map and rows start, and the encoders that predict it. In "feature" and "mean" the rows are random, as
#: the F/Z+ paper starts them.
ROUTES: dict[str, tuple[str, str, Names]] = {
    "encoder": ("encoder", "ws", ("wplus",)),
    "feature": ("encoder", "random", ("wplus",)),
    "mean": ("mean", "random", ()),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--preset", default="cpu_fzplus")
    parser.add_argument("--steps", type=int, default=60)


def run(bench: Bench) -> None:
    """Optimise from each start and record the error of every step."""
    options = bench.options
    methods: dict[str, tuple[Preset, Context]] = {}
    raw = bench.presets.resolve(options.preset).options
    for route, (init, detail, encoders) in ROUTES.items():
        # Without preview: every step's picture is the generator's, and their errors compare.
        changes = {"preview_steps": 0, "detail_init": detail}
        preset = read_preset(options.preset, {**shortened(raw, options.steps, init=init), **changes})
        methods[route] = preset, bench.context(preset, encoders)
    results = optimise_all(bench, methods)
    bench.report(
        "basecode",
        {
            "Steps to the other's last value": steps_table(methods, results),
            "First and last": ends_table(bench, results),
        },
        f"Preset {options.preset}, {methods['encoder'][0].steps} steps without preview. Steps are counted until the "
        "error is for the first time at or below what the other start ends with; the other's own too. mse: of the "
        f"picture at {bench.px} px; objective: what is minimised, with the distance from each route's own f0. The rate "
        "falls towards the end of all steps, not of those counted. Where it is not reached, one more than all steps "
        "counts: the ratio is then too low.",
        per_image(bench, results),
    )
    pictures = {"photograph": [crop.image for crop in bench.shown()]}
    for route in methods:
        place = bench.out / "basecode" / f"{options.preset}-{route}"
        pictures[route] = [Image.open(place / crop.image_id / "picture.png") for crop in bench.shown()]
    bench.sheet("basecode", pictures, len(bench.shown()))


def optimise_all(bench: Bench, methods: Mapping[str, tuple[Preset, Context]]) -> dict[str, list[Row]]:
    """Return start -> the errors of every step, per photograph."""
    results: dict[str, list[Row]] = {route: [] for route in methods}
    for crop in bench.crops:
        for route, (preset, context) in methods.items():
            place = bench.out / "basecode" / f"{bench.options.preset}-{route}" / crop.image_id

            def compute(
                crop: Crop = crop, preset: Preset = preset, context: Context = context, place: Path = place
            ) -> Row:
                target = targets_of([crop], bench.generator)
                with watched(context.engine, target, bench.px) as errors:
                    code, picture, cost = bench.invert(crop, preset, context)
                save_small(picture, place / "picture.png")
                steps = errors[-preset.steps :]  # what is before them measured the precision
                end = float(mse(area_resize(from_pil([picture]), bench.px), area_resize(target, bench.px)))
                return {"end": end, "mse": steps, "objective": code.trace[0].tolist(), **cost}

            results[route].append(kept(place / "scores.json", bench.key(crop, preset, context), compute))
    return results


def steps_table(methods: Mapping[str, tuple[Preset, Context]], results: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Return how many steps the encoder's feature needs, over the steps of each other start."""
    lines = []
    for yardstick in ("mse", "objective"):
        for other in [route for route in methods if route != "encoder"]:
            reached = [
                until(a[yardstick], b[yardstick]) for a, b in zip(results["encoder"], results[other], strict=True)
            ]
            own, theirs = (np.array([pair[i] for pair in reached], dtype=np.float64) for i in (0, 1))
            total = methods[other][0].steps
            lines.append(
                {
                    "yardstick": yardstick,
                    "compared with": other,
                    "its steps": summarise(theirs),
                    "steps from the encoder": summarise(own),
                    "ratio": summarise(own / theirs),
                    "not reached": f"{int((own > total).sum())} of {len(own)}",
                }
            )
    return lines


def ends_table(bench: Bench, results: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Return the first and last errors of every start."""
    return [
        {
            "start": route,
            f"first mse_{bench.px}": summarise([row["mse"][0] for row in rows]),
            f"last mse_{bench.px}": summarise(numbers(rows, "end")),
            "first objective": summarise([row["objective"][0] for row in rows]),
            "last objective": summarise([row["objective"][-1] for row in rows]),
            "core_s": summarise(numbers(rows, "core_s")),
        }
        for route, rows in results.items()
    ]


def until(ours: Sequence[float], theirs: Sequence[float]) -> tuple[int, int]:
    """Return the steps until each is as low as the last of `theirs`; one more than all steps where it never is.

    >>> until([9.0, 3.0, 1.0], [9.0, 5.0, 4.0])
    (2, 3)
    """
    own, other = (
        next((i + 1 for i, value in enumerate(trace) if value <= theirs[-1]), len(trace) + 1)
        for trace in (ours, theirs)
    )
    return own, other


@contextmanager
def watched(engine: Engine, target: Tensor, px: int) -> Iterator[list[float]]:
    """Record the mean squared error, at `px`, of every image [1, C, h, w] that optimisations draw inside."""
    run, errors, wanted = engine.run, [], area_resize(target, px)

    def watched_run(*args: Any, **more: Any) -> tuple[Tensor, dict[str, Tensor]]:
        image, features = run(*args, **more)
        if not more.get("stop"):  # otherwise features are read, and nothing is drawn
            errors.append(float(mse(area_resize(as_rgb(image.detach()).clamp(-1, 1), px), wanted)))
        return image, features

    engine.run = watched_run  # type: ignore[method-assign]
    try:
        yield errors
    finally:
        del engine.run
