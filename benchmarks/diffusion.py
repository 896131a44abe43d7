"""Semantic diffusion's crop-size study (IDInvert, section 6): the person, the surroundings and the seam.

    python -m benchmarks.diffusion OUT --targets PHOTO ... --onto PHOTO ... [--pairs] [--crops 90 110 130 150]
                                       [--method cpu_idinvert] [--around 0] [--no-preview]

Every target is diffused into the surroundings of every photograph of --onto, with --pairs the first into the first and
so on. A picture that OUT has is not made again; use another OUT for other options.
OUT/sheet.jpg has a row for each pair: target, surroundings, the square pasted, and what is drawn for each crop.

Printed are means over pairs with 95 % bootstrap intervals, a line for the pasted square and one for the drawing of each
crop: MobileFaceNet's cosine to the target and to the person of the surroundings; the mean difference in grey levels
from the target inside the square and from the surroundings outside of it; and the step at the square's outline, as a
multiple of what the same pictures step 8 px inside and outside of it (1: no seam).
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from ganvert import assets
from ganvert.cli.compositions import Composer, CompositionOptions, Face
from ganvert.compute.device import strict_math
from ganvert.editing.compose import CENTRE, box_mask, diffusion
from ganvert.images import contact_sheet, from_pil
from ganvert.scoring.metrics import metric
from ganvert.scoring.statistics import summarise

PX, BESIDE = 256, 8


def seam(picture: np.ndarray, side: int) -> float:
    """Return the step at the outline of the square, as a multiple of the steps beside it.

    Args:
        picture: [PX, PX, 3], grey levels.
        side: of the square.
    """

    def step(half: float) -> float:
        low, high = ([round(middle + sign * half) for middle in CENTRE] for sign in (-1, 1))
        (left, top), (right, bottom) = low, high
        across = np.abs(np.diff(picture, axis=1)), np.abs(np.diff(picture, axis=0))
        edges = [across[0][top:bottom, x - 1] for x in (left, right)]
        edges += [across[1][y - 1, left:right] for y in (top, bottom)]
        return float(np.mean([edge.mean() for edge in edges]))

    half = side / 2
    return 2 * step(half) / (step(half - BESIDE) + step(half + BESIDE))


class Study:
    """Draws, keeps and measures."""

    def __init__(self, out: Path, options: CompositionOptions, around: float) -> None:
        self.out, self.around = out, around
        self.composer = Composer(options)
        self.identity = metric("identity_mobilefacenet", assets.home(), moved=True)
        out.mkdir(parents=True, exist_ok=True)

    def pictures(self, target: Face, onto: Face, side: int) -> tuple[Image.Image, Image.Image]:
        """Return the pasted square, and what the generator makes of it."""
        mask = box_mask(self.composer.generator.resolution, side)
        composed = diffusion(target.crop, onto.crop, mask, self.around)
        path = self.out / f"{target.name}_onto-{onto.name}_{side}.png"
        if not path.exists():
            self.composer.draw(composed, target, onto).save(path)
            print(path, flush=True)
        return composed.picture, Image.open(path).convert("RGB")

    def measure(self, picture: Image.Image, target: Face, onto: Face, side: int) -> list[float]:
        """Return the figures of one picture, in the order of the docstring."""
        cosines = [float(self.identity(from_pil([picture]), from_pil([face.crop]))[0]) for face in (target, onto)]
        small, *others = (
            np.asarray(each.resize((PX, PX), Image.Resampling.BOX), dtype=np.float64)
            for each in (picture, target.crop, onto.crop)
        )
        inside = box_mask(PX, side)[0, 0].numpy().astype(bool)
        differences = [np.abs(small - other).mean(axis=2) for other in others]
        return [*cosines, differences[0][inside].mean(), differences[1][~inside].mean(), seam(small, side)]


def main() -> None:
    """Make what is missing, print the table and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--targets", type=Path, nargs="+", required=True)
    parser.add_argument("--onto", type=Path, nargs="+", required=True)
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--crops", type=int, nargs="+", default=[90, 110, 130, 150])
    parser.add_argument("--method", default="cpu_idinvert")
    parser.add_argument("--around", type=float, default=0.0)
    parser.add_argument("--no-preview", action="store_true")
    options = parser.parse_args()
    strict_math(threads=1)
    study = Study(options.out, CompositionOptions(method=options.method, no_preview=options.no_preview), options.around)
    faces = study.composer.faces([*options.targets, *options.onto])
    people, contexts = faces[: len(options.targets)], faces[len(options.targets) :]
    pairs = list(zip(people, contexts, strict=True) if options.pairs else itertools.product(people, contexts))
    figures: dict[tuple[int, str], list[list[float]]] = {}
    shown, captions = [], []
    for target, onto in pairs:
        drawn = [study.pictures(target, onto, side) for side in options.crops]
        for side, both in zip(options.crops, drawn, strict=True):
            for what, picture in zip(("pasted", "drawn"), both, strict=True):
                figures.setdefault((side, what), []).append(study.measure(picture, target, onto, side))
        shown += [target.crop, onto.crop, drawn[0][0], *(picture for _, picture in drawn)]
        captions += ["target", "surroundings", f"{options.crops[0]} pasted", *map(str, options.crops)]
    print(f"{len(pairs)} pairs: cosine to target, to surroundings' person, inside, outside [grey levels], seam")
    for (side, what), rows in figures.items():
        summaries = [summarise(values) for values in np.array(rows).T]
        text = "  ".join(f"{each.mean:.2f} [{each.low:.2f}, {each.high:.2f}]" for each in summaries)
        print(f"{side:4} {what:7} {text}")
    columns = 3 + len(options.crops)
    contact_sheet(shown, columns, 224, captions).save(options.out / "sheet.jpg", quality=88)


if __name__ == "__main__":
    main()
