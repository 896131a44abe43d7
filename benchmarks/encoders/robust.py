"""Crops that are moved, rotated and scaled (BDInvert, section 4). Baseline: the same method on the plain crop."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from benchmarks.encoders.bench import Bench, Names, Row, numbers, per_image, shortened
from ganvert.inversion.presets import Context, Preset, read_preset
from ganvert.inversion.run import Crop
from ganvert.scoring.statistics import summarise

ROBUST = ("mse", "lpips_vgg")
#: Name -> shift right and down (of the side), degrees clockwise, zoom.
MOVES: dict[str, tuple[float, float, float]] = {
    "plain": (0.0, 0.0, 1.0),
    "translated": (0.1, 0.0, 1.0),
    "rotated": (0.0, 20.0, 1.0),
    "smaller": (0.0, 0.0, 0.75),
    "larger": (0.0, 0.0, 1.25),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--steps", type=int, default=40)


def run(bench: Bench) -> None:
    """Invert every moved crop by every method, and compare with the same method on the plain crop."""
    steps = bench.options.steps
    recipes: dict[str, tuple[Row, Names]] = {
        "W+ encoder": ({"inverter": "feed_forward", "space": "wplus"}, ("wplus",)),
        "W+ optimised": (shortened(bench.presets.resolve("cpu_wplus").options, steps, init="encoder"), ("wplus",)),
        "F/W+": (shortened(bench.presets.resolve("cpu_fwplus").options, steps), ("wplus",)),
        "F/Z+": (shortened(bench.presets.resolve("cpu_fzplus").options, steps), ("wplus",)),
    }
    methods: dict[str, tuple[Preset, Context]] = {}
    for name, (raw, encoders) in recipes.items():
        preset = read_preset(name, raw)
        methods[name] = preset, bench.context(preset, encoders)
    folder = bench.out / "robust"
    results: dict[str, list[dict[str, Row]]] = {name: [] for name in methods}
    for crop in bench.crops:
        for name, (preset, context) in methods.items():
            by_move = {}
            for move, (shift, degrees, zoom) in MOVES.items():
                # The same id, and so the same random start.
                other = Crop(crop.image_id, moved(crop.image, shift, degrees, zoom))
                place = folder / name.replace("/", "") / crop.image_id / move
                by_move[move] = bench.scored(place, other, preset, context, ROBUST)
            results[name].append(by_move)
    steps_of = {name: preset.steps for name, (preset, _) in methods.items()}
    all_tables = tables_of(bench, results, steps_of)
    bench.report(
        "robust",
        all_tables,
        "Crops moved by a tenth of the side right and down, turned by 20 degrees, or scaled by 0.75 and 1.25; what "
        "comes in from outside is a reflection. Ratios are taken per photograph, then averaged. Bicubic sampling "
        "softens moved crops a little, for every method alike. Feature maps and rows start at the "
        "encoder's; presets cpu_wplus, cpu_fwplus, cpu_fzplus.",
        per_image(bench, results),
    )
    pictures: dict[str, list[Image.Image]] = {}
    for crop in bench.shown():
        pictures[f"{crop.image_id[:8]}"] = [moved(crop.image, *move) for move in MOVES.values()]
        for name in methods:
            place = folder / name.replace("/", "") / crop.image_id
            pictures[f"{crop.image_id[:8]} {name}"] = [Image.open(place / move / "picture.png") for move in MOVES]
    bench.sheet("robust", pictures, len(MOVES))


def tables_of(
    bench: Bench, results: Mapping[str, Sequence[dict[str, Row]]], steps: Mapping[str, int]
) -> dict[str, list[Row]]:
    """Return the ratios of moved to plain crops, the metrics themselves, and the cost."""
    all_tables: dict[str, list[Row]] = {}
    for metric in map(bench.label, ROBUST):
        values = {
            name: {move: numbers([by_move[move] for by_move in rows], metric) for move in MOVES}
            for name, rows in results.items()
        }
        ratios = {
            name: {move: of[move] / of["plain"] for move in MOVES if move != "plain"} for name, of in values.items()
        }
        overall = {name: np.mean(list(of.values()), axis=0) for name, of in ratios.items()}
        all_tables[f"{metric}: moved over plain"] = [
            {
                "method": name,
                **{move: summarise(ratio) for move, ratio in of.items()},
                "all": summarise(overall[name]),
                "all, less W+ optimised": summarise(overall[name] - overall["W+ optimised"]),
            }
            for name, of in ratios.items()
        ]
        all_tables[metric] = [
            {"method": name, **{move: summarise(value) for move, value in of.items()}} for name, of in values.items()
        ]
    all_tables["What a crop takes"] = [
        {
            "method": name,
            "steps": steps[name],
            "core_s": summarise([by_move[move]["core_s"] for by_move in rows for move in MOVES]),
        }
        for name, rows in results.items()
    ]
    return all_tables


def moved(image: Image.Image, shift: float, degrees: float, zoom: float) -> Image.Image:
    """Enlarge and rotate clockwise about the centre, then shift right and down; the border is reflected.

    Args:
        image: RGB, square.
        shift: along both axes, fraction of the side.
        degrees: clockwise.
        zoom: factor on lengths, at least 0.6 (the reflection reaches half a side).
    """
    if (shift, degrees, zoom) == (0.0, 0.0, 1.0):
        return image  # resampling would soften it
    side = image.width
    border = side // 2
    wide = np.pad(np.asarray(image), ((border, border), (border, border), (0, 0)), mode="symmetric")
    # Pillow takes the inverse map, from new to old positions; it must map centre to centre.
    c, s = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
    middle, at = side / 2 + border, side / 2 + shift * side
    back = (c, s, middle - (c + s) * at, -s, c, middle - (c - s) * at)
    return Image.fromarray(wide).transform(image.size, Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
