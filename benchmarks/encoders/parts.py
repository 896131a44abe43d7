"""What either part of an encoder's code changes at w_avg: shape and colours (PadInv). Baseline: its rows."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.encoders.bench import Bench, Row, kept, numbers, save_small
from ganvert.codes import codes_of_inversion
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import make_edit
from ganvert.editing.parts import mean_code
from ganvert.editing.render import draw_edit
from ganvert.faces.detect import FaceDetector
from ganvert.faces.pose import head_pose
from ganvert.inversion.run import Crop
from ganvert.scoring.statistics import summarise

PARTS = {"own": "own", "detail": "rows"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--encoder", default="wplus", help="own part: a feature map; of padinv: learned input, padding")
    parser.add_argument("--points", type=int, default=5, help="pictures from t = 0 to 1")


def run(bench: Bench) -> None:
    """Move one part of the code from the generator's own to the encoder's, the other stays at the generator's own."""
    preset, context = bench.alone(bench.options.encoder)
    faces = FaceDetector(bench.assets, long_side=512)
    count = bench.options.points
    folder = bench.out / "parts"
    results: list[Row] = []
    for crop in bench.crops:
        place = folder / crop.image_id

        def compute(crop: Crop = crop, place: Path = place) -> Row:
            code, whole, _ = bench.invert(crop, preset, context)
            (end,) = codes_of_inversion(code, [crop.image_id], preset.name, bench.generator)
            mean = dataclasses.replace(end, variables=mean_code(end.space), noise=())
            inputs = EditInputs(code=mean, references=[end])
            facts: Row = {"photo": measured_face(crop.image.resize(whole.size, Image.Resampling.LANCZOS), faces)}
            save_small(whole, place / "both.png")
            facts["both"] = [None, measured_face(whole, faces)]
            for part, name in PARTS.items():
                facts[name] = []
                for i in range(count):
                    picture = draw_edit(make_edit("interpolate", {"part": part}), inputs, i / (count - 1))
                    save_small(picture, place / f"{name}-{i}.png")
                    facts[name].append(measured_face(picture, faces))
            facts["both"][0] = facts["own"][0]
            return facts

        results.append(kept(place / "faces.json", bench.key(crop, preset, context, points=count), compute))
    shape, colour = tables_of(results, count)
    bench.report(
        "parts",
        {"What moves": shape, "Colours": colour},
        "From the mean face (w_avg, and the generator's own feature, or its input and zero padding) to the encoder's "
        "feature or padding, its rows, or "
        "both. Displacements are means over landmarks in units of the mean face's interocular distance; contour is the "
        "jaw, 17 points, inner the other 51; the baseline is the contour's displacement by the rows alone. like the "
        "photograph: Pearson's correlation of the contour's displacement "
        "with that of the photograph's contour from the mean face; like another: with the next photograph's. way to "
        "the photograph: 1 minus the contour's distance from the photograph's over the mean face's. yaw like the "
        "photograph: correlation over photographs of the change of yaw with what would be needed. Colours: Euclidean "
        "length of the change of mean RGB (0 to 255) inside the hull of the landmarks, and how much the photograph "
        "differs from the mean picture; contrast is the same of the standard deviations. A picture without a face "
        "counts as missing.",
        {crop.image_id: facts for crop, facts in zip(bench.crops, results, strict=True)},
    )
    pictures: dict[str, list[Image.Image]] = {}
    for crop in bench.shown():
        files = [*(f"own-{i}" for i in range(count)), f"rows-{count - 1}", "both"]
        small = [Image.open(folder / crop.image_id / f"{file}.png") for file in files]
        pictures[f"{crop.image_id[:8]}, own part 0 to 1, rows, both"] = [crop.image, *small]
    bench.sheet("parts", pictures, count + 3)


def tables_of(results: Sequence[Row], count: int) -> tuple[list[Row], list[Row]]:
    """Return how far each part of the code moves the face, and how much it changes its colours."""
    stages = [
        *(("own", i, f"{i / (count - 1):.2f}") for i in range(1, count)),
        ("rows", count - 1, "1.00"),
        ("both", 1, "1.00"),
    ]
    shape, colour = [], []
    by_rows = np.array([compare(facts, facts["rows"], count - 1, facts)["contour"] for facts in results])
    for name, index, t in stages:
        rows = [compare(facts, facts[name], index, results[(i + 1) % len(results)]) for i, facts in enumerate(results)]
        if len(results) == 1:
            rows[0]["like another"] = math.nan
        column = {what: numbers(rows, what) for what in rows[0]}
        stage = {"what moves": name, "t": t}
        shape.append(
            {
                **stage,
                **{what: summarise(column[what]) for what in SHAPE},
                "contour over the rows'": summarise(column["contour"] / by_rows),
                "yaw like the photograph": alike(rows),
            }
        )
        colour.append(
            {
                **stage,
                **{what: summarise(column[what]) for what in COLOUR},
                "sum over sum": ratio_of_sums(column["mean colour"], column["of the photograph"]),
            }
        )
    return shape, colour


#: The jaw from ear to ear, of the 68 landmarks.
CONTOUR = slice(0, 17)
SHAPE = (
    *("all points", "contour", "inner", "contour of the photograph"),
    *("like the photograph", "like another", "way to the photograph", "yaw, degrees", "pitch, degrees"),
)
COLOUR = ("mean colour", "of the photograph", "ratio", "contrast", "contrast of the photograph")


def measured_face(picture: Image.Image, faces: FaceDetector) -> Row | None:
    """Return landmarks [68, 2] (px of 1024), pose (degrees), mean and deviation of the colours; None without a face."""
    detected = faces.detect(picture, upsample=0)
    if not detected:
        return None
    points = detected[0]
    yaw, pitch, _ = head_pose(points)
    mask = Image.new("1", picture.size)
    ImageDraw.Draw(mask).polygon([(x, y) for x, y in hull(points)], fill=1)
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float64)[np.asarray(mask)]
    return {
        "points": (points * 1024 / picture.width).round(3).tolist(),
        "yaw": yaw,
        "pitch": pitch,
        "mean": pixels.mean(axis=0).tolist(),
        "sd": pixels.std(axis=0).tolist(),
    }


def hull(points: np.ndarray) -> np.ndarray:
    """Return the corners of the convex hull of points [n, 2], in order."""
    from scipy.spatial import ConvexHull

    return points[ConvexHull(points).vertices]


def compare(facts: Row, stages: Sequence[Row | None], index: int, another: Row) -> Row:
    """Return the figures of one image: how far it is from the mean face, and how much of that is towards the photo."""
    names = (*SHAPE, *COLOUR, "yaw", "yaw wanted")
    mean, now_, photo = stages[0], stages[index], facts["photo"]
    if mean is None or now_ is None or photo is None:
        return dict.fromkeys(names, math.nan)
    at, here, there = (np.array(face["points"]) for face in (mean, now_, photo))
    unit = float(np.linalg.norm(at[42:48].mean(axis=0) - at[36:42].mean(axis=0)))
    step, wanted = (here - at) / unit, (there - at) / unit

    def length(offsets: np.ndarray) -> float:
        return float(np.linalg.norm(offsets, axis=1).mean())

    other = another["photo"]
    colour, colour_wanted = distance(now_, mean, "mean"), distance(photo, mean, "mean")
    return {
        "all points": length(step),
        "contour": length(step[CONTOUR]),
        "inner": length(step[17:]),
        "contour of the photograph": length(wanted[CONTOUR]),
        "like the photograph": correlation(step[CONTOUR], wanted[CONTOUR]),
        "like another": math.nan
        if other is None
        else correlation(step[CONTOUR], ((np.array(other["points"]) - at) / unit)[CONTOUR]),
        "way to the photograph": 1 - length((step - wanted)[CONTOUR]) / length(wanted[CONTOUR]),
        "yaw, degrees": abs(now_["yaw"] - mean["yaw"]),
        "pitch, degrees": abs(now_["pitch"] - mean["pitch"]),
        "mean colour": colour,
        "of the photograph": colour_wanted,
        "ratio": colour / colour_wanted,
        "contrast": distance(now_, mean, "sd"),
        "contrast of the photograph": distance(photo, mean, "sd"),
        "yaw": now_["yaw"] - mean["yaw"],
        "yaw wanted": photo["yaw"] - mean["yaw"],
    }


def distance(face: Row, other: Row, name: str) -> float:
    """Return the Euclidean distance of two faces' colours."""
    return float(np.linalg.norm(np.array(face[name]) - np.array(other[name])))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Pearson's correlation of all numbers in two arrays; nan where one of them is constant."""
    a, b = first.ravel() - first.mean(), second.ravel() - second.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else math.nan


def alike(rows: Sequence[Row]) -> float:
    """Return the correlation over photographs of the change of yaw with the needed one; nan for less than three."""
    pairs = np.array([(row["yaw"], row["yaw wanted"]) for row in rows if row["yaw"] == row["yaw"]])
    return correlation(pairs[:, 0], pairs[:, 1]) if len(pairs) > 2 else math.nan


def ratio_of_sums(part: np.ndarray, whole: np.ndarray) -> float:
    """Return the sum of the parts over that of the wholes: photographs that differ little count little."""
    there = ~np.isnan(part)
    return float(part[there].sum() / whole[there].sum()) if there.any() else math.nan
