"""Editing strength: what steps along directions do to the person and to the attribute, preset against preset.

    python benchmarks/editing.py OUT PRESET [PRESET ...] [--directions NAME ...] [--amounts A ...]

OUT is the folder that benchmarks/methods.py filled; data/directions.parquet and data/assets are read too. The default
is the test of the F/Z+ paper, section 5: five GANSpace directions at 11 steps from -2 to 2. Every edited picture is
compared with its photograph by dlib's descriptors (a distance: lower is the same person, 0.6 the model's threshold; a
picture without a face counts 1). A direction that bears an attribute's name is also measured by that attribute's
scorer: the change from the lowest to the highest amount. Intervals are 95 % bootstrap intervals over photographs; the
difference of every preset from the first one is paired by photograph. NAME:untuned takes the codes of a method that
tunes the generator and leaves the tuning out.
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
from ganvert.codes import Codes, read_codes
from ganvert.compute.device import strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.directions import load_directions
from ganvert.editing.render import EditSpec, draw_edit
from ganvert.faces import ATTRIBUTES, AttributeScorer
from ganvert.generators import load_generator
from ganvert.images import contact_sheet, from_pil, from_png
from ganvert.scoring.metrics import metric
from ganvert.scoring.statistics import bootstrap_mean

ASSETS = Path("data/assets")
#: Counted where no face is found on an edited picture: farther than any two people are on average (0.82).
NO_FACE = 1.0


class Judge:
    """Draws and measures, remembering what it measured in files under OUT."""

    def __init__(self, out: Path, edit: str) -> None:
        self.out, self.edit = out, edit
        self.generator = load_generator(ASSETS / "mobile_stylegan.safetensors")
        self.directions = load_directions(Path("data/directions.parquet"), self.generator)
        self.identity = metric("identity_dlib", ASSETS)
        self.scorer = AttributeScorer(ASSETS, ["yaw", "smile", "age"])

    def codes(self, preset: str, image_id: str) -> Codes:
        """The codes of one photograph; those of ``NAME:untuned`` without their own generator."""
        name, _, untuned = preset.partition(":")
        codes = read_codes(self.out / name / image_id / "codes.parquet", self.generator)
        return (dataclasses.replace(codes, tuned=None) if untuned else codes).select(0)

    def folder(self, preset: str, image_id: str) -> Path:
        """Where edited pictures of a photograph are kept."""
        name, _, untuned = preset.partition(":")
        return self.out / name / image_id / f"edits{untuned}"

    def measure(self, preset: str, image_id: str, crop: Image.Image, direction: str, amount: float) -> dict:
        """Distance from the photograph, and attributes, of one edited picture."""
        folder = self.folder(preset, image_id)
        stem = f"{self.edit}-{direction}{amount:+.2f}"
        known = folder / f"{stem}.json"
        if known.exists():
            return json.loads(known.read_text())
        folder.mkdir(exist_ok=True)
        spec = EditSpec(direction=direction, amounts=(amount,), edit=self.edit)
        picture = draw_edit(self.codes(preset, image_id), self.directions, spec, amount)
        picture.resize((512, 512), Image.Resampling.LANCZOS).save(folder / f"{stem}.jpg", quality=90)
        value = float(self.identity(from_pil([picture]), from_pil([crop]))[0])
        facts = {"distance": NO_FACE if value != value else value}
        if direction in ATTRIBUTES:
            facts |= {name: found for name, found in self.scorer.score([picture])[0].items() if found is not None}
        known.write_text(json.dumps(facts))
        return facts


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--directions", nargs="+", default=[f"ganspace_{i}" for i in range(1, 6)])
    parser.add_argument("--amounts", nargs="+", type=float, default=np.linspace(-2, 2, 11).round(2).tolist())
    parser.add_argument("--edit", default="shift")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--threads", type=int, default=None)
    told = parser.parse_args()
    strict_math(threads=told.threads)
    keep_freed_memory()
    judge = Judge(told.out, told.edit)
    rows = tables.read(Path("data/aligned.parquet"), tables.ALIGNED).to_pylist()[: told.count]
    crops = {row["image_id"]: from_png(row["crop"]) for row in rows}
    found: dict[tuple[str, str, str], list[dict]] = {}
    start = time.monotonic()
    for image_id, crop in crops.items():
        for preset in told.presets:
            for direction in told.directions:
                found[preset, direction, image_id] = [
                    judge.measure(preset, image_id, crop, direction, amount) for amount in told.amounts
                ]
        print(f"{image_id}: {time.monotonic() - start:.0f} s", flush=True)

    def mean(preset: str, what: str, directions: list[str]) -> np.ndarray:
        return np.array(
            [
                np.mean([edit[what] for direction in directions for edit in found[preset, direction, image_id]])
                for image_id in crops
            ]
        )

    print(f"{len(crops)} photographs, {told.directions}, amounts {told.amounts}, edit {told.edit}")
    first = mean(told.presets[0], "distance", told.directions)
    for preset in told.presets:
        values = mean(preset, "distance", told.directions)
        low, high = bootstrap_mean(values)
        apart = bootstrap_mean(values - first)
        print(
            f"{preset:24} distance {values.mean():.4f} [{low:.4f}, {high:.4f}]"
            f"  less {told.presets[0]} {np.mean(values - first):+.4f} [{apart[0]:+.4f}, {apart[1]:+.4f}]"
        )
        for direction in told.directions:
            if direction in ATTRIBUTES:
                ends = [(found[preset, direction, i][0], found[preset, direction, i][-1]) for i in crops]
                change = np.array([b[direction] - a[direction] for a, b in ends if direction in a.keys() & b.keys()])
                low, high = bootstrap_mean(change)
                print(
                    f"{'':24} {direction} {change.mean():+.3f} [{low:+.3f}, {high:+.3f}] in {len(change)} photographs"
                )
    sheet, labels = [], []
    ends = [told.amounts[0], *([0.0] if 0.0 in told.amounts else []), told.amounts[-1]]
    image_id = next(iter(crops))
    for preset in told.presets:
        for direction in told.directions:
            for amount in ends:
                stem = f"{told.edit}-{direction}{amount:+.2f}"
                sheet.append(Image.open(judge.folder(preset, image_id) / f"{stem}.jpg"))
                labels.append(f"{preset} {direction} {amount:+.1f}")
    contact_sheet(sheet, 3 * len(ends), 224, labels).save(told.out / f"edits-{told.edit}.jpg", quality=88)


if __name__ == "__main__":
    main()
