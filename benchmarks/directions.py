"""What the directions of params.yaml do to portraits: their own scores, the other scores, and identity.

    python -m benchmarks.directions OUT --codes CODES [--names NAME ...] [--amounts -2 2] [--kinds conditional ...]
                                        [--ranges] [--assets data/assets]

CODES is a table that `ganvert invert` wrote. The directions are found here from the shipped scores by
`discover.methods.interfacegan` of params.yaml, `conditional` as it says, `unconditional` without its conditions. Every
picture is a line of OUT/scores.jsonl and is not made again; OUT/pictures has them at 512 px. OUT/KIND.parquet keeps the
directions.

Changes are in standard deviations of the samples' scores, against the reconstruction. Printed are means over images
with 95 % bootstrap intervals: what the direction's score changes at each amount; half the difference between the
largest and the smallest amount, for its own score and the others that move most; MobileFaceNet's cosine to the
reconstruction, over all amounts; and how much the conditions' scores move along (mean of their absolute half
differences), with the difference between both kinds paired by image.

With --ranges the `range` of every direction is measured in place of all that: the farthest amounts, in halves and at
most 8, at which all portraits still show a face and the mean of MobileFaceNet's cosine is at least 0.5.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from PIL import Image
from torch import Tensor

from ganvert.base import params
from ganvert.codes import Code, read_codes
from ganvert.compute.device import strict_math
from ganvert.directions import Direction, FinderInputs, Samples, load_directions, save_directions
from ganvert.directions.interfacegan import InterfaceganOptions, find_interfacegan
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import make_edit
from ganvert.editing.population import Population
from ganvert.editing.render import draw_edit
from ganvert.faces import AttributeScorer
from ganvert.generators import load_generator
from ganvert.generators.base import Generator
from ganvert.images import from_pil, to_pil
from ganvert.sampling.draw import codes_of
from ganvert.scoring.metrics import metric
from ganvert.scoring.statistics import summarise

SCORES = Path("ganvert/weights/scores_ffhq.parquet")
MEASURED = (
    *("yaw", "pitch", "roll", "smile_expression", "mouth_open", "eyes_open"),
    *("age", "gender", "glasses", "hair_length"),
)
KINDS = ("conditional", "unconditional")
#: Of a range: the largest amount, the distance of amounts, and the least mean of MobileFaceNet's cosines.
FARTHEST, HALF, LEAST_COSINE = 8.0, 0.5, 0.5
Row = Mapping[str, Any]


def samples_of(generator: Generator) -> Samples:
    """Return the seeds of the shipped scores with their codes."""
    table = pq.read_table(SCORES)
    z, w = codes_of(generator, table["seed"].to_pylist())
    names = [name for name in table.column_names if name != "seed"]
    scores = {name: table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in names}
    return Samples(z=z.double().numpy(), w=w.double().numpy(), scores=scores, num_ws=generator.num_ws)


def find(samples: Samples, options: InterfaceganOptions, kind: str, known: Path) -> dict[str, Direction]:
    """Return name to direction in W, with the conditions of the options or without any; a table keeps them."""
    if known.exists():
        return {name: direction for (name, _), direction in load_directions(known).items()}
    if kind == "unconditional":
        free = {name: own.without_conditions(name) for name, own in options.attributes.items()}
        options = dataclasses.replace(options, attributes=free)
    found = find_interfacegan(FinderInputs(samples=samples), options)
    save_directions(known, found)
    return {direction.name: direction for direction in found}


class Judge:
    """Draws and measures; every picture is a line of a file."""

    def __init__(self, out: Path, assets: Path, generator: Generator) -> None:
        self.file, self.pictures = out / "scores.jsonl", out / "pictures"
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.rows: list[Row] = []
        if self.file.exists():
            self.rows = [json.loads(line) for line in self.file.read_text().splitlines()]
        self._known = {self._key(row) for row in self.rows}
        self._scorer = AttributeScorer(assets, MEASURED)
        self._identity = metric("identity_mobilefacenet", assets, moved=True)
        self._population = Population(generator)
        self._bases: dict[str, Tensor] = {}

    @staticmethod
    def _key(row: Row) -> tuple[Any, ...]:
        return row["image"], row["kind"], row["direction"], row["amount"]

    def stays(self, codes: Sequence[Code], direction: Direction, amount: float) -> bool:
        """Return whether all images keep a face, and on average the person, at an amount."""
        cosines = []
        for code in codes:
            if code.image_id not in self._bases:
                self._bases[code.image_id] = code.draw()
            picture = draw_edit(make_edit("shift"), EditInputs(code=code, directions=[(direction, 1.0)]), amount)
            cosines.append(float(self._identity(from_pil([picture]), self._bases[code.image_id])[0]))
            if math.isnan(cosines[-1]):
                return False
        return float(np.mean(cosines)) >= LEAST_COSINE

    def measure(self, code: Code, kind: str, direction: Direction, amounts: Sequence[float]) -> None:
        """Measure one image along one direction, its reconstruction included."""
        base = None
        for kind_, name, amount in [("", "", 0.0), *((kind, direction.name, amount) for amount in amounts)]:
            row: dict[str, Any] = {"image": code.image_id, "kind": kind_, "direction": name, "amount": amount}
            if self._key(row) in self._known:
                continue
            base = base or to_pil(code.draw())[0]
            inputs = EditInputs(code=code, directions=[(direction, 1.0)])
            picture = draw_edit(make_edit("shift"), inputs, amount) if name else base
            row["cosine"] = float(self._identity(from_pil([picture]), from_pil([base]))[0])
            row["sigmas"] = self._population.sigmas(direction, code, amount) if name else None
            row |= self._scorer.score([picture])[0]
            stem = f"{code.image_id}-{kind_}-{name}{amount:+g}" if name else code.image_id
            picture.resize((512, 512), Image.Resampling.LANCZOS).save(self.pictures / f"{stem}.jpg", quality=90)
            self._known.add(self._key(row))
            self.rows.append(row)
            with self.file.open("a") as out:
                out.write(json.dumps(row) + "\n")


class Table:
    """The measured rows as changes in standard deviations of the samples."""

    def __init__(self, rows: Sequence[Row], samples: Samples) -> None:
        self.images = list(dict.fromkeys(row["image"] for row in rows if not row["kind"]))
        self._rows = {Judge._key(row): row for row in rows}
        self._deviations = {name: float(np.nanstd(samples.scores[name])) for name in MEASURED}

    def change(self, score: str, image: str, kind: str, name: str, amount: float) -> float:
        """Return the change of a score against the reconstruction, nan where no face was found."""
        after, before = self._rows.get((image, kind, name, amount)), self._rows[image, "", "", 0.0]
        if after is None or after[score] is None or before[score] is None:
            return math.nan
        return (after[score] - before[score]) / self._deviations[score]

    def halves(self, score: str, kind: str, name: str, amounts: Sequence[float]) -> np.ndarray:
        """Return half the difference between the ends, for every image."""
        low, high = min(amounts), max(amounts)
        ends = [[self.change(score, image, kind, name, amount) for amount in (low, high)] for image in self.images]
        return np.array([(end - start) / 2 for start, end in ends])

    def cosines(self, kind: str, name: str, amounts: Sequence[float]) -> list[float]:
        """Return the mean cosine of every image."""
        known = [[self._rows.get((image, kind, name, amount)) for amount in amounts] for image in self.images]
        return [float(np.mean([row["cosine"] for row in rows if row])) if any(rows) else math.nan for rows in known]


def reach(judge: Judge, codes: Sequence[Code], direction: Direction, sign: int) -> float:
    """Return the farthest amount on one side of 0 at which faces stay, by bisection."""
    low, high = 0, round(FARTHEST / HALF) + 1
    while high - low > 1:
        middle = (low + high) // 2
        stays = judge.stays(codes, direction, sign * middle * HALF)
        low, high = (middle, high) if stays else (low, middle)
    return sign * low * HALF


def text(values: Sequence[float] | np.ndarray) -> str:
    """Return a mean with its interval."""
    summary = summarise(values)
    return f"{summary.mean:+.2f} [{summary.low:+.2f}, {summary.high:+.2f}]"


def print_table(table: Table, kind: str, scores: Mapping[str, str], amounts: Sequence[float]) -> None:
    """Print two lines for every direction of a kind; `scores` is direction to the score that it was fitted on."""
    print(f"\n{kind}, {len(table.images)} images")
    for name, own in scores.items():
        changes = {
            amount: [table.change(own, image, kind, name, amount) for image in table.images] for amount in amounts
        }
        ends = ", ".join(f"{amount:+g}: {text(values)}" for amount, values in changes.items())
        others = {score: table.halves(score, kind, name, amounts) for score in MEASURED if score != own}
        most = sorted(others, key=lambda score: -abs(np.nanmean(others[score])))[:3]
        print(f"{name:12} own {text(table.halves(own, kind, name, amounts))} ({ends})")
        listed = "  ".join(f"{score} {text(others[score])}" for score in most)
        print(f"{'':12} cosine {text(table.cosines(kind, name, amounts))}  {listed}")


def print_leaks(
    table: Table, conditions: Mapping[str, Sequence[str]], scores: Mapping[str, str], amounts: Sequence[float]
) -> None:
    """Print how much the conditions' scores move, as a share of the direction's own, and the paired difference."""
    print(
        "\nconditions' scores, mean absolute half difference: unconditional, conditional, difference; shares of the own"
    )
    for name in conditions:
        leaks, owns = [], []
        for kind in reversed(KINDS):
            moved = [np.abs(table.halves(score, kind, name, amounts)) for score in conditions[name]]
            leaks.append(np.mean(moved, axis=0))
            owns.append(table.halves(scores[name], kind, name, amounts))
        figures = "  ".join(map(text, (*leaks, leaks[1] - leaks[0])))
        print(f"{name:12} {figures}  shares {text_of_shares(np.array(leaks), np.array(owns))}")


def text_of_shares(leaks: np.ndarray, owns: np.ndarray) -> str:
    """Return two ratios of means, [2, images] each, and their difference with its interval, paired by image."""

    def shares(chosen: np.ndarray) -> np.ndarray:
        return np.asarray(np.nanmean(leaks[:, chosen], axis=1) / np.nanmean(owns[:, chosen], axis=1))

    rng, count = np.random.default_rng(0), leaks.shape[1]
    drawn = [np.diff(shares(rng.integers(0, count, count)))[0] for _ in range(2000)]
    before, after = shares(np.arange(count))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{before:.2f} {after:.2f}, difference {after - before:+.2f} [{low:+.2f}, {high:+.2f}]"


def main() -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--codes", type=Path, required=True)
    parser.add_argument("--names", nargs="+")
    parser.add_argument("--amounts", nargs="+", type=float, default=[-2.0, 2.0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--ranges", action="store_true")
    parser.add_argument("--assets", type=Path, default=Path("data/assets"))
    options = parser.parse_args()
    strict_math(threads=1)
    raw = yaml.safe_load(Path("params.yaml").read_text())["discover"]["methods"]["interfacegan"]
    wanted = params.build(InterfaceganOptions, {**raw, "spaces": ["w"], "unconditional": False}, "interfacegan")
    generator = load_generator(options.assets / "mobile_stylegan.safetensors")
    samples = samples_of(generator)
    found = {kind: find(samples, wanted, kind, options.out / f"{kind}.parquet") for kind in options.kinds}
    names = options.names or list(wanted.attributes)
    judge = Judge(options.out, options.assets, generator)
    codes = read_codes(options.codes, generator)
    if options.ranges:
        for kind, directions in found.items():
            for name in names:
                ends = [reach(judge, codes, directions[name], sign) for sign in (-1, 1)]
                print(f"{kind:13} {name:12} range: [{ends[0]:g}, {ends[1]:g}]", flush=True)
        return
    for code in codes:
        for kind, directions in found.items():
            for name in names:
                judge.measure(code, kind, directions[name], options.amounts)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(f"{code.image_id}: {used.ru_utime + used.ru_stime:.0f} core-seconds", flush=True)
    table = Table(judge.rows, samples)
    scores = {name: wanted.attributes[name].score or name for name in names}
    for kind in found:
        print_table(table, kind, scores, options.amounts)
    if len(found) == len(KINDS):
        conditions = {name: list(shares) for name in names if (shares := wanted.attributes[name].shares)}
        print_leaks(table, conditions, scores, options.amounts)


if __name__ == "__main__":
    main()
