"""Editing: what steps along directions do to identity and attribute, as ratios to the first preset.

    python benchmarks/editing.py OUT PRESET [PRESET ...] [--directions NAME ...] [--amounts A ...]

OUT is the folder that benchmarks/methods.py filled; data/directions.parquet and data/assets are read too. The default
is the test of the F/Z+ paper, section 5: five GANSpace directions at 11 steps from -2 to 2. Every edited picture is
compared with its photograph by dlib's descriptors (a distance: lower is the same person, 0.6 the model's threshold; a
picture without a face counts 1). A direction named after an attribute is also measured by that attribute's
scorer: the change from the lowest to the highest amount. Intervals are 95 % bootstrap intervals over photographs. The
first preset is the baseline: differences from it and ratios to it are paired by photograph. NAME:untuned uses the codes
of a method that tunes the generator with the original generator.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ganvert import tables
from ganvert.codes import Code, read_codes
from ganvert.compute.device import strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.directions import choose, load_directions
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import EDITS
from ganvert.editing.render import draw_edit
from ganvert.faces import ATTRIBUTES, AttributeScorer
from ganvert.generators import load_generator
from ganvert.images import contact_sheet, from_pil, from_png
from ganvert.scoring.metrics import metric
from ganvert.scoring.statistics import bootstrap_mean
from ganvert.spaces import make_space

ASSETS = Path("data/assets")
#: Distance where no face is found on an edited image: more than that of two people on average (0.82).
NO_FACE = 1.0


class Judge:
    """Draws and measures edits; results are cached in files under OUT."""

    def __init__(self, out: Path, edit: str) -> None:
        self.out, self.edit = out, edit
        self.generator = load_generator(ASSETS / "mobile_stylegan.safetensors")
        self.directions = load_directions(Path("data/directions.parquet"), self.generator)
        self.identity = metric("identity_dlib", ASSETS, moved=True)
        self.scorer = AttributeScorer(ASSETS, ["yaw", "smile", "age"])

    def code(self, preset: str, image_id: str) -> Code:
        """Return the code of one photograph; that of ``NAME:untuned`` without its own generator."""
        name, _, untuned = preset.partition(":")
        codes = read_codes(self.out / name / image_id / "codes.parquet", self.generator)
        if not untuned:
            return codes[0]
        space = make_space(codes.space_name, self.generator)
        return dataclasses.replace(codes[0], bind=lambda: space, tuned=None)

    def folder(self, preset: str, image_id: str) -> Path:
        """Return the folder of edited images of a photograph."""
        name, _, untuned = preset.partition(":")
        return self.out / name / image_id / f"edits{untuned}"

    def measure(self, preset: str, image_id: str, crop: Image.Image, direction: str, amount: float) -> dict:
        """Return the distance from the photograph, and the attributes, of one edited image."""
        folder = self.folder(preset, image_id)
        stem = f"{self.edit}-{direction}{amount:+.2f}"
        known = folder / f"{stem}.json"
        if known.exists():
            return json.loads(known.read_text())
        folder.mkdir(exist_ok=True)
        code = self.code(preset, image_id)
        inputs = EditInputs(
            code=code, directions=[(choose(self.directions, direction, code.space.direction_space), 1.0)]
        )
        picture = draw_edit(EDITS[self.edit], inputs, amount)
        picture.resize((512, 512), Image.Resampling.LANCZOS).save(folder / f"{stem}.jpg", quality=90)
        value = float(self.identity(from_pil([picture]), from_pil([crop]))[0])
        facts = {"distance": NO_FACE if value != value else value}
        if direction in ATTRIBUTES:
            scores = self.scorer.score([picture])[0]
            facts |= {name: score for name, score in scores.items() if score is not None}
        known.write_text(json.dumps(facts))
        return facts


def main() -> None:
    """Draw and measure all edits, print the table and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--directions", nargs="+", default=[f"ganspace_{i}" for i in range(1, 6)])
    parser.add_argument("--amounts", nargs="+", type=float, default=np.linspace(-2, 2, 11).round(2).tolist())
    parser.add_argument("--edit", default="shift")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    strict_math(threads=options.threads)
    keep_freed_memory()
    judge = Judge(options.out, options.edit)
    rows = tables.read(Path("data/aligned.parquet"), tables.ALIGNED).to_pylist()[: options.count]
    crops = {row["image_id"]: from_png(row["crop"]) for row in rows}
    results: dict[tuple[str, str, str], list[dict]] = {}
    start = time.monotonic()
    for image_id, crop in crops.items():
        for preset in options.presets:
            for direction in options.directions:
                results[preset, direction, image_id] = [
                    judge.measure(preset, image_id, crop, direction, amount) for amount in options.amounts
                ]
        print(f"{image_id}: {time.monotonic() - start:.0f} s", flush=True)

    print_table(options, list(crops), results)
    write_sheet(options, judge, next(iter(crops)))


def print_table(options: argparse.Namespace, ids: list[str], results: dict[tuple[str, str, str], list[dict]]) -> None:
    """Print distances and attributes of every preset; the first preset is the baseline."""

    def distances(preset: str) -> np.ndarray:
        edits = [[edit for name in options.directions for edit in results[preset, name, image_id]] for image_id in ids]
        return np.array([np.mean([edit["distance"] for edit in each]) for each in edits])

    print(f"{len(ids)} photographs, {options.directions}, amounts {options.amounts}, edit {options.edit}")
    first = options.presets[0]
    baseline = distances(first)
    for preset in options.presets:
        values = distances(preset)
        low, high = bootstrap_mean(values)
        difference = bootstrap_mean(values - baseline)
        print(
            f"{preset:24} distance {values.mean():.4f} [{low:.4f}, {high:.4f}]"
            f"  less {first} {np.mean(values - baseline):+.4f} [{difference[0]:+.4f}, {difference[1]:+.4f}]"
            f"  x{np.mean(values / baseline):.3f}"
        )
        for direction in options.directions:
            if direction in ATTRIBUTES:
                ends = [(results[preset, direction, i][0], results[preset, direction, i][-1]) for i in ids]
                change = np.array([b[direction] - a[direction] for a, b in ends if direction in a.keys() & b.keys()])
                low, high = bootstrap_mean(change)
                print(
                    f"{'':24} {direction} {change.mean():+.3f} [{low:+.3f}, {high:+.3f}] in {len(change)} photographs"
                )


def write_sheet(options: argparse.Namespace, judge: Judge, image_id: str) -> None:
    """Write the edits of one photograph at both ends and in the middle."""
    sheet, labels = [], []
    ends = [options.amounts[0], *([0.0] if 0.0 in options.amounts else []), options.amounts[-1]]
    for preset in options.presets:
        for direction in options.directions:
            for amount in ends:
                stem = f"{options.edit}-{direction}{amount:+.2f}"
                sheet.append(Image.open(judge.folder(preset, image_id) / f"{stem}.jpg"))
                labels.append(f"{preset} {direction} {amount:+.1f}")
    contact_sheet(sheet, 3 * len(ends), 224, labels).save(options.out / f"edits-{options.edit}.jpg", quality=88)


if __name__ == "__main__":
    main()
