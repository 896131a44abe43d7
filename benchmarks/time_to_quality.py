"""Time to quality: LPIPS against core-seconds, for presets at several lengths of their schedules.

    python -m benchmarks.time_to_quality OUT PRESET[@SCALE] ... [--aligned data/aligned.parquet] [--count 8]
                                         [--assets data/assets] [--quality 0.1] [--precision auto]

`encoder_wplus@2` is the preset with twice its steps, in every stage and on the preview alike: each length has the whole
of its schedule, so that a point of the curve is what a user with that much time gets. A photograph, preset and length
is a line of OUT/results.csv and is not computed again. OUT/curves.png shows the means; what is printed is the time at
which the line between two of them, in logarithms, crosses the quality.

Core-seconds are CPU seconds of the process from the crop to the code, with one thread. Pictures are drawn in float32.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from tqdm import tqdm

from ganvert import tables
from ganvert.base.preset_files import METHODS, Presets
from ganvert.codes import codes_of_inversion
from ganvert.compute.device import strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.compute.precision import Precision, Speed
from ganvert.generators import load_generator
from ganvert.images import from_pil, from_png, to_pil
from ganvert.inversion.presets import Context, Preset, read_preset
from ganvert.inversion.run import Crop, invert_crops, make_context, shipped_encoders
from ganvert.scoring.metrics import metric

METRICS = ("lpips_vgg_256", "mse_256", "identity_dlib", "identity_mobilefacenet")
COLUMNS = ("preset", "scale", "image_id", "core_seconds", *METRICS)


def scaled(raw: dict[str, Any], scale: float) -> dict[str, Any]:
    """Return a preset with its steps, and those of its stages, multiplied."""
    changed = {key: max(1, round(raw[key] * scale)) for key in ("steps", "preview_steps") if raw.get(key)}
    stages = {"stages": [scaled(stage, scale) for stage in raw["stages"]]} if "stages" in raw else {}
    return {**raw, **changed, **stages}


def measure(crop: Crop, preset: Preset, context: Context, assets: Path, out: Path) -> dict[str, float]:
    """Invert one photograph; return its core-seconds and how far the drawn code is from it."""
    started = time.process_time()
    inversion = invert_crops([crop], preset, context, seed=0, on_images=lambda images: None)
    seconds = time.process_time() - started
    picture = to_pil(codes_of_inversion(inversion, [crop.image_id], preset.name, context.generator)[0].draw())[0]
    picture.save(out / f"{preset.name}-{crop.image_id}.png")
    pair = from_pil([picture]), from_pil([crop.image])
    return {"core_seconds": seconds, **{name: float(metric(name, assets)(*pair)[0]) for name in METRICS}}


def time_at(seconds: Sequence[float], values: Sequence[float], quality: float) -> float:
    """Return when the curve falls to `quality`, interpolated in logarithms; infinite where it never does."""
    points = sorted(zip(seconds, values, strict=True))
    if points[0][1] <= quality:
        return points[0][0]
    for (t, a), (u, b) in itertools.pairwise(points):
        if a > quality >= b:
            share = math.log(a / quality) / math.log(a / b)
            return math.exp((1 - share) * math.log(t) + share * math.log(u))
    return math.inf


def means(rows: Sequence[dict[str, str]]) -> dict[str, list[dict[str, float]]]:
    """Return the means over photographs of every length, by preset, short to long."""
    groups: dict[tuple[str, float], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        groups[row["preset"], float(row["scale"])].append(row)
    curves: dict[str, list[dict[str, float]]] = defaultdict(list)
    for (name, scale), members in sorted(groups.items()):
        point = {key: float(np.nanmean([float(row[key]) for row in members])) for key in COLUMNS[3:]}
        curves[name].append({"scale": scale, "count": len(members), **point})
    return curves


def plot(curves: dict[str, list[dict[str, float]]], quality: float, path: Path) -> None:
    """Draw LPIPS against core-seconds."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6))
    for name, points in curves.items():
        axes.plot([p["core_seconds"] for p in points], [p[METRICS[0]] for p in points], marker="o", label=name)
    axes.axhline(quality, color="grey", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="core-seconds a photograph", ylabel="LPIPS-VGG at 256 px")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    """Measure what is missing, print the table, and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("presets", nargs="*")
    parser.add_argument("--aligned", type=Path, default=Path("data/aligned.parquet"))
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="photographs to skip")
    parser.add_argument("--assets", type=Path, default=Path("data/assets"))
    parser.add_argument("--quality", type=float, default=0.1)
    parser.add_argument("--precision", default="auto", choices=get_args(Precision))
    options = parser.parse_intermixed_args()
    strict_math(threads=1)
    keep_freed_memory()
    options.out.mkdir(parents=True, exist_ok=True)
    results = options.out / "results.csv"
    if not results.exists():
        results.write_text(",".join(COLUMNS) + "\n")
    presets = Presets.of_project(METHODS)
    rows = tables.read(options.aligned, tables.ALIGNED).to_pylist()[options.first : options.first + options.count]
    crops = [Crop(row["image_id"], from_png(row["crop"])) for row in rows]
    generator = load_generator(options.assets / "mobile_stylegan.safetensors")
    speed = Speed(precision=options.precision)
    contexts: dict[str, Context] = {}
    work = [(crop, *name.partition("@")[::2]) for crop in crops for name in options.presets]
    for crop, name, text in tqdm(work, desc="inversions"):
        scale = float(text or 1)
        with results.open() as stream:
            known = {(row["preset"], float(row["scale"]), row["image_id"]) for row in csv.DictReader(stream)}
        if (name, scale, crop.image_id) in known:
            continue
        preset = read_preset(name, scaled(presets.resolve(name).options, scale))
        found = {"preset": name, "scale": scale, "image_id": crop.image_id}
        if name not in contexts:  # what the engine measures of a method holds for all photographs
            contexts[name] = make_context(preset, generator, shipped_encoders(preset), options.assets, speed=speed)
        found |= measure(crop, preset, contexts[name], options.assets, options.out)
        with results.open("a") as stream:
            stream.write(",".join(str(found[key]) for key in COLUMNS) + "\n")
    with results.open() as stream:
        curves = means(list(csv.DictReader(stream)))
    for name, points in curves.items():
        for point in points:
            print(f"{name:28} " + "  ".join(f"{key} {value:.4g}" for key, value in point.items()))
        reached = time_at([p["core_seconds"] for p in points], [p[METRICS[0]] for p in points], options.quality)
        print(f"{name:28} {METRICS[0]} of {options.quality}: {reached:.0f} core-seconds")
    plot(curves, options.quality, options.out / "curves.png")


if __name__ == "__main__":
    main()
