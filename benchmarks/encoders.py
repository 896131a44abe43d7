"""What encoders are worth: alone, as the start of an optimisation, off the usual alignment, and what padding holds.

    python benchmarks/encoders.py COMMAND OUT [--aligned data/aligned.parquet] [--count 4] [--assets data/assets]

COMMAND is one of
    throughput  pictures a second of encoding, and of encoding and drawing, by batch size; the baseline is batch 1 of
                the same round
    quality     what each encoder draws of a photograph, without a step of optimisation; the baseline is w_avg
    start       few steps from the encoder's code against many from w_avg, everything else equal
    basecode    steps that F/Z+ needs from the base code of an encoder to be as near as it comes, in all its steps, from
                the generator's own feature at w_avg or at the W+ encoder's code
    robust      crops that are moved, turned and scaled, against the same crops as they are (BDInvert, section 4)
    padding     w_avg with the padding of an encoder (PadInv): what moves, and which colours change; the baselines are
                the rows of the same encoder alone, and the photographs of other people

The photographs are the first --count by image id of a table that `align` wrote; training should not have seen them.
Encoders are named by their weights, NAME_ffhq.safetensors in --weights; A+B is two that are asked in turn (of a part of
the code that both say, B's counts). Presets are those of params.yaml, of which only what the options here say is
changed.

OUT gets COMMAND.json, COMMAND.md and COMMAND.png. A photograph that is done is not computed again, unless the weights
or the options are others; after a change of code, take another OUT. Means over photographs stand with their 95 %
bootstrap intervals; faces that the detector does not find are counted as missing. core_s is processor time, summed over
threads.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ganvert import tables
from ganvert.assets.shipped import shipped
from ganvert.base.errors import GanvertError
from ganvert.base.files import atomic_path
from ganvert.base.preset_files import METHODS, Presets
from ganvert.codes import codes_of_inversion
from ganvert.compute.device import resolve_device, strict_math
from ganvert.compute.memory import keep_freed_memory
from ganvert.editing.blending import draw_between
from ganvert.encoders.together import Encoders
from ganvert.faces.detect import FaceDetector
from ganvert.faces.pose import head_pose
from ganvert.generators import Generator, load_generator
from ganvert.images import area_resize, as_rgb, contact_sheet, from_png, to_pil
from ganvert.inversion.presets import Context, Inversion, Preset, read_preset
from ganvert.inversion.run import Crop, invert_crops, make_context, targets_of
from ganvert.scoring.metrics.pixel import mse
from ganvert.scoring.score import asset_metrics, score_reconstructions
from ganvert.scoring.statistics import Summary, summarise
from ganvert.spaces import make_space

#: Names of weights, asked in turn.
Names = tuple[str, ...]
#: A line of a table: its columns.
Row = dict[str, Any]

SHEET_PX = 256
CONTOUR = slice(0, 17)  # of the 68 landmarks: the jaw from ear to ear


# --- photographs, methods and what is kept ---------------------------------------------------------------------------


class Bench:
    """The photographs, what inverts them, and a folder that remembers."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.told, self.out, self.assets = told, told.out, told.assets
        rows = sorted(tables.read(told.aligned, tables.ALIGNED).to_pylist(), key=lambda row: row["image_id"])
        self.crops = [Crop(row["image_id"], from_png(row["crop"])) for row in rows[: told.count]]
        generator = load_generator(told.generator or told.assets / "mobile_stylegan.safetensors")
        self.generator: Generator = generator.to(resolve_device(told.device))
        self.fingerprint = generator.fingerprint()
        self.px = min(256, generator.resolution)  # what pictures are compared at
        self.presets = Presets.of_project(METHODS, told.params)
        self._contexts: dict[tuple[str, Names], Context] = {}
        self._fingerprints: dict[int, str] = {}

    def weights(self, name: str) -> Path:
        """The file of an encoder."""
        return self.told.weights / f"{name}_ffhq.safetensors"

    def context(self, preset: Preset, encoders: Names) -> Context:
        """What a preset needs, read once."""
        key = (f"{preset.name} {preset.fingerprint}", encoders)
        if key not in self._contexts:
            paths = [self.weights(name) for name in encoders]
            self._contexts[key] = make_context(preset, self.generator, paths, self.assets)
        return self._contexts[key]

    def alone(self, encoders: Names) -> tuple[Preset, Context]:
        """The method that draws what some encoders say, in the space of the last of them."""
        context = self.context(read_preset("alone", {"inverter": "feed_forward"}), encoders)
        assert isinstance(context.encoder, Encoders)
        space = context.encoder.members[-1].space
        return read_preset("alone", {"inverter": "feed_forward", "space": space}), context

    def key(self, crop: Crop, preset: Preset | None = None, context: Context | None = None, **more: Any) -> Row:
        """What the result of a photograph depends on."""
        facts: Row = {"generator": self.fingerprint, "seed": self.told.seed, "px": self.px, **more}
        facts["crop"] = hashlib.sha256(crop.image.tobytes()).hexdigest()
        if preset is not None:
            facts["options"] = preset.fingerprint
        if context is not None and context.encoder is not None:
            if id(context.encoder) not in self._fingerprints:  # reads every weight: once is enough
                self._fingerprints[id(context.encoder)] = context.encoder.fingerprint()
            facts["encoder"] = self._fingerprints[id(context.encoder)]
        return facts

    def invert(self, crop: Crop, preset: Preset, context: Context) -> tuple[Inversion, Image.Image, Row]:
        """The code of one photograph, its picture and what it took."""
        start, core = time.monotonic(), time.process_time()
        found = invert_crops([crop], preset, context, seed=self.told.seed)
        took = {"seconds": time.monotonic() - start, "core_s": time.process_time() - core, "status": found.status[0]}
        picture = to_pil(codes_of_inversion(found, [crop.image_id], preset.name, self.generator).draw())[0]
        return found, picture, took

    def scored(self, folder: Path, crop: Crop, preset: Preset, context: Context, names: Sequence[str]) -> Row:
        """Metrics of one photograph by one method, its picture beside them in `folder`; or what is there already."""

        def compute() -> Row:
            _, picture, took = self.invert(crop, preset, context)
            save_small(picture, folder / "picture.png")
            return {**self.scores(picture, crop, names), **took}

        return kept(folder / "scores.json", self.key(crop, preset, context, metrics=list(names)), compute)

    def scores(self, picture: Image.Image, crop: Crop, names: Sequence[str]) -> Row:
        """Metric -> value; None where there is no face."""
        rows = score_reconstructions([{}], [picture], [crop.image], self.metrics(names), self.generator.image_channels)
        return {row["metric"]: row["value"] for row in rows}

    def metrics(self, names: Sequence[str]) -> list[Any]:
        """Metrics at the size that pictures are compared at; those of identity have none."""
        return asset_metrics(
            [name if name.startswith("identity") else f"{name}_{self.px}" for name in names], self.assets
        )

    def label(self, name: str) -> str:
        """The full name of a metric."""
        return name if name.startswith("identity") else f"{name}_{self.px}"

    def sheet(self, name: str, rows: Mapping[str, Sequence[Image.Image]], columns: int) -> None:
        """A picture of all, one labelled row after the other."""
        pictures = [picture for row in rows.values() for picture in row]
        labels = [label if i == 0 else "" for label, row in rows.items() for i in range(len(row))]
        with atomic_path(self.out / f"{name}.png") as temporary:
            contact_sheet(pictures, columns, SHEET_PX, labels).save(temporary)

    def shown(self) -> list[Crop]:
        """The photographs on the sheet."""
        return self.crops[: self.told.sheet]

    def report(self, name: str, found: Mapping[str, Sequence[Row]], notes: str, images: Mapping[str, Any]) -> None:
        """Tables as JSON and Markdown, and the first of them on the screen too.

        Args:
            name: of the command.
            found: title -> lines, all with the same columns.
            notes: what a reader of the tables must know.
            images: per photograph, for the JSON.
        """
        options = {key: str(value) for key, value in vars(self.told).items() if key not in ("run", "out")}
        facts = {
            "command": name,
            "options": options,
            "generator": self.fingerprint,
            "device": str(self.generator.w_avg.device),
            "threads": torch.get_num_threads(),
            "photographs": [crop.image_id for crop in self.crops],
            "notes": notes,
            "tables": {title: [{k: plain(v) for k, v in row.items()} for row in rows] for title, rows in found.items()},
            "images": images,
        }
        with atomic_path(self.out / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(plain(facts), indent=1) + "\n")
        parts = [f"# {name}", notes, f"{len(self.crops)} photographs. Brackets: 95 % bootstrap interval of a mean."]
        for title, rows in found.items():
            parts += [f"## {title}", markdown(rows)]
        text = "\n\n".join(parts) + "\n"
        with atomic_path(self.out / f"{name}.md") as temporary:
            temporary.write_text(text)
        print(text)


def kept(path: Path, key: Row, compute: Callable[[], Row]) -> Row:
    """What `compute` gives, or what an earlier run with the same key got from it."""
    if path.exists():
        known = json.loads(path.read_text())
        if known["key"] == key:
            return known["facts"]
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = plain(compute())
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"key": key, "facts": facts}))
    print(path, {k: round(v, 4) for k, v in facts.items() if isinstance(v, float)} or "", flush=True)
    return facts


def plain(value: Any) -> Any:
    """The value as JSON has it: nan and infinity are None."""
    if isinstance(value, Summary):
        return plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def numbers(rows: Sequence[Row], name: str) -> np.ndarray:
    """A column of results; nan where there is none."""
    return np.array([math.nan if row[name] is None else row[name] for row in rows], dtype=np.float64)


def markdown(rows: Sequence[Row]) -> str:
    """A table of lines that have the same columns."""
    cells = [list(rows[0]), ["---"] * len(rows[0]), *([text(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def text(value: Any) -> str:
    """A cell: four digits, the interval in brackets, and how many are missing."""
    if isinstance(value, Summary):
        missing = f" ({value.missing} missing)" if value.missing else ""
        return f"{value.mean:.4g} [{value.low:.4g}, {value.high:.4g}]{missing}" if value.count else f"none{missing}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def save_small(picture: Image.Image, path: Path) -> None:
    """Keep a picture for the sheet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        picture.resize((SHEET_PX, SHEET_PX), Image.Resampling.LANCZOS).save(temporary)


def shortened(raw: Mapping[str, Any], steps: int | None, **more: Any) -> Row:
    """A preset with another number of steps; the share of preview steps and of the ramps stays."""
    total = steps or raw["steps"]
    return {**raw, "steps": total, "preview_steps": round(raw.get("preview_steps", 0) / raw["steps"] * total), **more}


# --- throughput ------------------------------------------------------------------------------------------------------


def throughput(bench: Bench) -> None:
    """Rounds over encoders and batch sizes; a ratio never compares two rounds."""
    told = bench.told
    batches = sorted({1, *told.batches})
    targets = targets_of(bench.crops, bench.generator)
    rounds = [
        kept(
            bench.out / "throughput" / f"round-{number}.json",
            bench.key(
                bench.crops[0],
                encoders=told.encoders,
                batches=batches,
                most=told.draw_up_to,
                count=len(bench.crops),
                device=str(targets.device),
                threads=torch.get_num_threads(),
            ),
            lambda: one_round(bench, targets, batches),
        )
        for number in range(told.rounds)
    ]
    lines: list[Row] = []
    for what in rounds[0]:
        for batch in rounds[0][what]:
            each = np.array([facts[what][batch] for facts in rounds]) / int(batch)
            ratio = np.array([facts[what]["1"] for facts in rounds]) / each
            lines.append(
                {
                    "what": what,
                    "batch": int(batch),
                    "pictures a second": float(np.median(1 / each)),
                    "times batch 1": float(np.median(ratio)),
                    "lowest": float(ratio.min()),
                    "highest": float(ratio.max()),
                }
            )
    bench.report(
        "throughput",
        {"Pictures a second": lines},
        f"Medians of {len(rounds)} rounds; lowest and highest ratio of a round to its own batch 1. Photographs "
        f"are {bench.generator.resolution} px and on the device already; encoding includes shrinking them. Drawing "
        "stops at tensors: no file is written. With one thread on a CPU, seconds are processor time.",
        {"rounds": rounds},
    )


@torch.no_grad()
def one_round(bench: Bench, targets: Tensor, batches: Sequence[int]) -> dict[str, dict[str, float]]:
    """What -> batch size -> seconds of one call."""
    seconds: dict[str, dict[str, float]] = {}
    for encoders in bench.told.encoders:
        preset, context = bench.alone(split(encoders))
        encoder, space = context.require_encoder(), make_space(preset.space, bench.generator)

        def draw(images: Tensor, encoder: Any = encoder, space: Any = space) -> Tensor:
            code = space.adopt(encoder.encode(images), [0] * len(images))
            return bench.generator.synthesize(space.decode(code))

        for what, work, most in (("encode", encoder.encode, math.inf), ("encode, draw", draw, bench.told.draw_up_to)):
            work(targets[:1])  # the first call is another thing: it allocates
            times = seconds.setdefault(f"{encoders}: {what}", {})
            for batch in batches:
                if batch <= most:
                    images = targets[torch.arange(batch, device=targets.device) % len(targets)]
                    start = now(targets.device)
                    work(images)
                    times[str(batch)] = now(targets.device) - start
    return seconds


def now(device: torch.device) -> float:
    """A clock that sees what the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    # One thread computes: processor time, which other processes on the machine do not lengthen.
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def split(encoders: str) -> Names:
    """A+B to (A, B)."""
    return tuple(encoders.split("+"))


# --- quality ---------------------------------------------------------------------------------------------------------

QUALITY = ("lpips_vgg", "lpips_alex", "mse", "ssim", "identity_dlib")


def quality(bench: Bench) -> None:
    """Every encoder alone, beside the picture of w_avg."""
    mean = to_pil(bench.generator.synthesize(ws=bench.generator.w_avg.expand(1, bench.generator.num_ws, -1)))[0]
    folder = bench.out / "quality"
    found: dict[str, list[Row]] = {
        "w_avg": [
            kept(
                folder / "w_avg" / crop.image_id / "scores.json",
                bench.key(crop, metrics=list(QUALITY)),
                lambda crop=crop: bench.scores(mean, crop, QUALITY),  # type: ignore[misc]
            )
            for crop in bench.crops
        ]
    }
    for encoders in bench.told.encoders:
        preset, context = bench.alone(split(encoders))
        found[encoders] = [
            bench.scored(folder / encoders / crop.image_id, crop, preset, context, QUALITY) for crop in bench.crops
        ]
    names = [bench.label(name) for name in QUALITY]
    lines = [
        {"encoder": name, **{what: summarise(numbers(rows, what)) for what in names}} for name, rows in found.items()
    ]
    bench.report(
        "quality",
        {"One look, no optimisation": lines},
        "identity_dlib is a distance, 0.6 the model's threshold; a picture or photograph without a face counts as "
        "missing there. w_avg is one picture for all.",
        per_image(bench, found),
    )
    pictures = {"photograph": [crop.image for crop in bench.shown()]}
    for encoders in bench.told.encoders:
        pictures[encoders] = [Image.open(folder / encoders / crop.image_id / "picture.png") for crop in bench.shown()]
    bench.sheet("quality", pictures, len(bench.shown()))


def per_image(bench: Bench, found: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Method -> photograph -> results."""
    return {
        name: {crop.image_id: row for crop, row in zip(bench.crops, rows, strict=True)} for name, rows in found.items()
    }


# --- start -----------------------------------------------------------------------------------------------------------

START = ("mse", "lpips_vgg", "lpips_alex", "identity_dlib")


def start(bench: Bench) -> None:
    """INIT:STEPS against INIT:STEPS: the first arm less each of the others, paired by photograph."""
    raw = bench.presets.resolve(bench.told.preset).options
    arms: dict[str, tuple[Preset, Context]] = {}
    for arm in bench.told.arms:
        init, _, steps = arm.partition(":")
        # One name for all: where anything is random, it is the same for a photograph.
        preset = read_preset(bench.told.preset, shortened(raw, int(steps), init=init))
        arms[arm] = preset, bench.context(preset, ("wplus",) if preset.needs_encoder else ())
    folder = bench.out / "start"
    found: dict[str, list[Row]] = {arm: [] for arm in arms}
    # Photograph by photograph, so that an unfinished run compares whole rows.
    for crop in bench.crops:
        for arm, (preset, context) in arms.items():
            place = folder / arm.replace(":", "-") / crop.image_id
            found[arm].append(bench.scored(place, crop, preset, context, START))
    names = [bench.label(name) for name in START]
    first = next(iter(found))
    lines, apart = [], []
    for arm, rows in found.items():
        options = arms[arm][0].options
        lines.append(
            {
                "start:steps": arm,
                "preview steps": options.preview_steps,
                **{what: summarise(numbers(rows, what)) for what in (*names, "core_s")},
            }
        )
        if arm != first:
            both = {what: numbers(found[first], what) - numbers(rows, what) for what in names}
            apart.append(
                {
                    "difference": f"{first} less {arm}",
                    **{what: summarise(values) for what, values in both.items()},
                    f"{names[0]} lower in": f"{int((both[names[0]] < 0).sum())} of {len(rows)}",
                }
            )
    bench.report(
        "start",
        {"At the end": lines} | ({"Paired by photograph": apart} if apart else {}),
        f"Preset {bench.told.preset} with another start and number of steps: objective, rate, ramps (a share of the "
        "steps) and the share of preview steps are the same. Negative differences: the first is nearer.",
        per_image(bench, found),
    )
    pictures = {"photograph": [crop.image for crop in bench.shown()]}
    for arm in arms:
        place = folder / arm.replace(":", "-")
        pictures[arm] = [Image.open(place / crop.image_id / "picture.png") for crop in bench.shown()]
    bench.sheet("start", pictures, len(bench.shown()))


# --- basecode --------------------------------------------------------------------------------------------------------

#: Route -> where the optimisation starts, and whose prediction that is.
ROUTES: dict[str, tuple[str, Names]] = {
    "basecode": ("encoder", ("basecode",)),
    "mean": ("mean", ()),
    "wplus": ("encoder", ("wplus",)),
}


def basecode(bench: Bench) -> None:
    """Steps from each start, the error of every one of them recorded."""
    told = bench.told
    methods: dict[str, tuple[Preset, Context]] = {}
    for route in ("basecode", *told.against):
        init, encoders = ROUTES[route]
        # Without preview: every step's picture is the generator's, and their errors compare.
        raw = bench.presets.resolve(told.preset).options
        preset = read_preset(told.preset, {**shortened(raw, told.steps, init=init), "preview_steps": 0})
        methods[route] = preset, bench.context(preset, encoders)
    found: dict[str, list[Row]] = {route: [] for route in methods}
    folder = bench.out / "basecode"
    for crop in bench.crops:
        for route, (preset, context) in methods.items():
            place = folder / f"{told.preset}-{route}" / crop.image_id

            def compute(
                crop: Crop = crop, preset: Preset = preset, context: Context = context, place: Path = place
            ) -> Row:
                with watched(bench.generator, targets_of([crop], bench.generator), bench.px) as seen:
                    code, picture, took = bench.invert(crop, preset, context)
                save_small(picture, place / "picture.png")
                # What is drawn after the last step is the result.
                *steps, end = seen
                return {"end": end, "mse": steps, "objective": code.trace[0].tolist(), **took}

            found[route].append(kept(place / "scores.json", bench.key(crop, preset, context), compute))
    lines = []
    for yardstick in ("mse", "objective"):
        for other in told.against:
            reached = [until(a[yardstick], b[yardstick]) for a, b in zip(found["basecode"], found[other], strict=True)]
            own, theirs = (np.array([pair[i] for pair in reached], dtype=np.float64) for i in (0, 1))
            total = methods[other][0].steps
            lines.append(
                {
                    "yardstick": yardstick,
                    "compared with": other,
                    "its steps": summarise(theirs),
                    "steps from the base code": summarise(own),
                    "ratio": summarise(own / theirs),
                    "not reached": f"{int((own > total).sum())} of {len(own)}",
                }
            )
    ends = [
        {
            "start": route,
            f"first mse_{bench.px}": summarise([row["mse"][0] for row in rows]),
            f"last mse_{bench.px}": summarise(numbers(rows, "end")),
            "first objective": summarise([row["objective"][0] for row in rows]),
            "last objective": summarise([row["objective"][-1] for row in rows]),
            "core_s": summarise(numbers(rows, "core_s")),
        }
        for route, rows in found.items()
    ]
    bench.report(
        "basecode",
        {"Steps to the other's last value": lines, "First and last": ends},
        f"Preset {told.preset}, {methods['basecode'][0].steps} steps without preview. Steps are counted until the "
        "error is for the first time at or below what the other start ends with; the other's own too. mse: of the "
        f"picture at {bench.px} px; objective: what is minimised, with the distance from each route's own f0. The rate "
        "falls towards the end of all steps, not of those counted. Where it is not reached, one more than all steps "
        "counts: the ratio is then too low.",
        per_image(bench, found),
    )
    pictures = {"photograph": [crop.image for crop in bench.shown()]}
    for route in methods:
        place = folder / f"{told.preset}-{route}"
        pictures[route] = [Image.open(place / crop.image_id / "picture.png") for crop in bench.shown()]
    bench.sheet("basecode", pictures, len(bench.shown()))


def until(ours: Sequence[float], theirs: Sequence[float]) -> tuple[int, int]:
    """Steps until each is as low as the last of `theirs`; one more than there are where it never is.

    >>> until([9.0, 3.0, 1.0], [9.0, 5.0, 4.0])
    (2, 3)
    """
    own, other = (
        next((i + 1 for i, value in enumerate(trace) if value <= theirs[-1]), len(trace) + 1)
        for trace in (ours, theirs)
    )
    return own, other


@contextmanager
def watched(generator: Generator, target: Tensor, px: int) -> Iterator[list[float]]:
    """The mean squared error of every picture [1, C, h, w] that the generator draws meanwhile, at `px`."""
    draw, seen, wanted = generator.synthesize, [], area_resize(target, px)

    def drawn(*told: Any, **more: Any) -> Tensor:
        picture = draw(*told, **more)
        seen.append(float(mse(area_resize(as_rgb(picture.detach()).clamp(-1, 1), px), wanted)))
        return picture

    generator.synthesize = drawn  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        del generator.synthesize


# --- robust ----------------------------------------------------------------------------------------------------------

ROBUST = ("mse", "lpips_vgg")
#: Name -> shift right and down (of the side), degrees clockwise, zoom.
MOVES: dict[str, tuple[float, float, float]] = {
    "plain": (0.0, 0.0, 1.0),
    "translated": (0.1, 0.0, 1.0),
    "rotated": (0.0, 20.0, 1.0),
    "smaller": (0.0, 0.0, 0.75),
    "larger": (0.0, 0.0, 1.25),
}


def robust(bench: Bench) -> None:
    """Every method on every moved crop; each with itself on the plain crop as the baseline."""
    steps = bench.told.steps
    told: dict[str, tuple[Row, Names]] = {
        "W+ encoder": ({"inverter": "feed_forward", "space": "wplus"}, ("wplus",)),
        "W+ optimised": (shortened(bench.presets.resolve("cpu_wplus").options, steps, init="encoder"), ("wplus",)),
        "F/W+": (shortened(bench.presets.resolve("cpu_fwplus").options, steps), ("basecode",)),
        "F/Z+": (shortened(bench.presets.resolve("cpu_fzplus").options, steps), ("basecode",)),
    }
    methods: dict[str, tuple[Preset, Context]] = {}
    for name, (raw, encoders) in told.items():
        preset = read_preset(name, raw)
        methods[name] = preset, bench.context(preset, encoders)
    folder = bench.out / "robust"
    found: dict[str, list[dict[str, Row]]] = {name: [] for name in methods}
    for crop in bench.crops:
        for name, (preset, context) in methods.items():
            each = {}
            for move, (shift, degrees, zoom) in MOVES.items():
                # The same id, and so the same random start.
                other = Crop(crop.image_id, moved(crop.image, shift, degrees, zoom))
                place = folder / name.replace("/", "") / crop.image_id / move
                each[move] = bench.scored(place, other, preset, context, ROBUST)
            found[name].append(each)
    tables_found: dict[str, list[Row]] = {}
    for what in map(bench.label, ROBUST):
        values = {
            name: {move: numbers([each[move] for each in rows], what) for move in MOVES} for name, rows in found.items()
        }
        ratios = {
            name: {move: of[move] / of["plain"] for move in MOVES if move != "plain"} for name, of in values.items()
        }
        overall = {name: np.mean(list(of.values()), axis=0) for name, of in ratios.items()}
        tables_found[f"{what}: moved over plain"] = [
            {
                "method": name,
                **{move: summarise(ratio) for move, ratio in of.items()},
                "all": summarise(overall[name]),
                "all, less W+ optimised": summarise(overall[name] - overall["W+ optimised"]),
            }
            for name, of in ratios.items()
        ]
        tables_found[what] = [
            {"method": name, **{move: summarise(value) for move, value in of.items()}} for name, of in values.items()
        ]
    tables_found["What a crop takes"] = [
        {
            "method": name,
            "steps": methods[name][0].steps,
            "core_s": summarise([each[move]["core_s"] for each in rows for move in MOVES]),
        }
        for name, rows in found.items()
    ]
    bench.report(
        "robust",
        tables_found,
        "Crops moved by a tenth of the side right and down, turned by 20 degrees, or scaled by 0.75 and 1.25; what "
        "comes in from outside is a reflection. Ratios are taken per photograph, then averaged. Bicubic sampling "
        "softens moved crops a little, for every method alike. Feature maps start at the base-code encoder's f0, W+ "
        "at the W+ encoder's code; presets cpu_wplus, cpu_fwplus, cpu_fzplus.",
        per_image(bench, found),
    )
    pictures: dict[str, list[Image.Image]] = {}
    for crop in bench.shown():
        pictures[f"{crop.image_id[:8]}"] = [moved(crop.image, *move) for move in MOVES.values()]
        for name in methods:
            place = folder / name.replace("/", "") / crop.image_id
            pictures[f"{crop.image_id[:8]} {name}"] = [Image.open(place / move / "picture.png") for move in MOVES]
    bench.sheet("robust", pictures, len(MOVES))


def moved(image: Image.Image, shift: float, degrees: float, zoom: float) -> Image.Image:
    """Enlarge and turn clockwise about the centre, then shift right and down; beyond the border is a reflection.

    Args:
        image: RGB, square.
        shift: along both axes, fraction of the side.
        degrees: clockwise.
        zoom: factor on lengths, at least 0.6 (the reflection reaches half a side).
    """
    if (shift, degrees, zoom) == (0.0, 0.0, 1.0):
        return image  # sampling between pixels would soften it
    side = image.width
    border = side // 2
    wide = np.pad(np.asarray(image), ((border, border), (border, border), (0, 0)), mode="symmetric")
    # Pillow asks where each new pixel comes from; centres of both pictures belong together.
    c, s = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
    middle, at = side / 2 + border, side / 2 + shift * side
    back = (c, s, middle - (c + s) * at, -s, c, middle - (c - s) * at)
    return Image.fromarray(wide).transform(image.size, Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)


# --- padding ---------------------------------------------------------------------------------------------------------

PARTS = {"own": "padding", "detail": "rows"}


def padding(bench: Bench) -> None:
    """One part of the code on its way from the generator's own to the encoder's, the other at the generator's own."""
    preset = read_preset("padding", {"inverter": "feed_forward", "space": "pad/wplus"})
    context = bench.context(preset, ("padinv",))
    faces = FaceDetector(bench.assets, long_side=512)
    count = bench.told.points
    folder = bench.out / "padding"
    found: list[Row] = []
    for crop in bench.crops:
        place = folder / crop.image_id

        def compute(crop: Crop = crop, place: Path = place) -> Row:
            code, whole, _ = bench.invert(crop, preset, context)
            codes = codes_of_inversion(code, [crop.image_id], preset.name, bench.generator)
            facts: Row = {"photo": look(crop.image.resize(whole.size, Image.Resampling.LANCZOS), faces)}
            save_small(whole, place / "both.png")
            facts["both"] = [None, look(whole, faces)]
            for part, name in PARTS.items():
                facts[name] = []
                for i, picture in enumerate(draw_between(codes, None, 0, count, part)):
                    save_small(picture, place / f"{name}-{i}.png")
                    facts[name].append(look(picture, faces))
            facts["both"][0] = facts["padding"][0]
            return facts

        found.append(kept(place / "faces.json", bench.key(crop, preset, context, points=count), compute))
    stages = [
        *(("padding", i, f"{i / (count - 1):.2f}") for i in range(1, count)),
        ("rows", count - 1, "1.00"),
        ("both", 1, "1.00"),
    ]
    shape, colour = [], []
    for name, index, t in stages:
        each = [compare(facts, facts[name], index, found[(i + 1) % len(found)]) for i, facts in enumerate(found)]
        if len(found) == 1:
            each[0]["like another"] = math.nan
        column = {what: numbers(each, what) for what in each[0]}
        told = {"what moves": name, "t": t}
        shape.append(
            {**told, **{what: summarise(column[what]) for what in SHAPE}, "yaw like the photograph": alike(each)}
        )
        colour.append(
            {
                **told,
                **{what: summarise(column[what]) for what in COLOUR},
                "sum over sum": ratio_of_sums(column["mean colour"], column["of the photograph"]),
            }
        )
    bench.report(
        "padding",
        {"What moves": shape, "Colours": colour},
        "From the mean face (w_avg, the generator's own input, zero padding) to the encoder's padding, its rows, or "
        "both. Displacements are means over landmarks in units of the mean face's interocular distance; contour is the "
        "jaw, 17 points, inner the other 51. like the photograph: Pearson's correlation of the contour's displacement "
        "with that of the photograph's contour from the mean face; like another: with the next photograph's. way to "
        "the photograph: 1 minus the contour's distance from the photograph's over the mean face's. yaw like the "
        "photograph: correlation over photographs of the change of yaw with what would be needed. Colours: Euclidean "
        "length of the change of mean RGB (0 to 255) inside the hull of the landmarks, and how much the photograph "
        "differs from the mean picture; contrast is the same of the standard deviations. A picture without a face "
        "counts as missing.",
        {crop.image_id: facts for crop, facts in zip(bench.crops, found, strict=True)},
    )
    pictures: dict[str, list[Image.Image]] = {}
    for crop in bench.shown():
        files = [*(f"padding-{i}" for i in range(count)), f"rows-{count - 1}", "both"]
        small = [Image.open(folder / crop.image_id / f"{file}.png") for file in files]
        pictures[f"{crop.image_id[:8]}, padding 0 to 1, rows, both"] = [crop.image, *small]
    bench.sheet("padding", pictures, count + 3)


SHAPE = (
    *("all points", "contour", "inner", "contour of the photograph"),
    *("like the photograph", "like another", "way to the photograph", "yaw, degrees", "pitch, degrees"),
)
COLOUR = ("mean colour", "of the photograph", "ratio", "contrast", "contrast of the photograph")


def look(picture: Image.Image, faces: FaceDetector) -> Row | None:
    """Landmarks [68, 2] (px, of 1024), pose in degrees, mean and deviation of the face's colours; None without one."""
    found = faces.detect(picture, upsample=0)
    if not found:
        return None
    points = found[0]
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
    """The corners of the convex hull of some points [n, 2], in order."""
    from scipy.spatial import ConvexHull

    return points[ConvexHull(points).vertices]


def compare(facts: Row, stages: Sequence[Row | None], index: int, another: Row) -> Row:
    """Figures of one picture: how far from the mean face, and how much of it towards the photograph."""
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


def distance(one: Row, other: Row, what: str) -> float:
    """Euclidean distance of two faces' colours."""
    return float(np.linalg.norm(np.array(one[what]) - np.array(other[what])))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's, of all numbers in two arrays; nan where one of them is constant."""
    a, b = one.ravel() - one.mean(), other.ravel() - other.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else math.nan


def alike(each: Sequence[Row]) -> float:
    """Correlation over photographs of the change of yaw with what would be needed; nan for less than three."""
    pairs = np.array([(row["yaw"], row["yaw wanted"]) for row in each if row["yaw"] == row["yaw"]])
    return correlation(pairs[:, 0], pairs[:, 1]) if len(pairs) > 2 else math.nan


def ratio_of_sums(part: np.ndarray, whole: np.ndarray) -> float:
    """Which share of the whole the part is; photographs that differ little count little."""
    there = ~np.isnan(part)
    return float(part[there].sum() / whole[there].sum()) if there.any() else math.nan


# --- the command -----------------------------------------------------------------------------------------------------


def main() -> None:
    """Run, write and print."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("out", type=Path, metavar="OUT")
    shared.add_argument("--aligned", type=Path, default=Path("data/aligned.parquet"))
    shared.add_argument("--count", type=int, default=4, help="photographs, the first by image id")
    shared.add_argument("--assets", type=Path, default=Path("data/assets"))
    shared.add_argument("--generator", type=Path, default=None, help="default: mobile_stylegan of the assets")
    shared.add_argument("--weights", type=Path, default=shipped(""), help="folder of NAME_ffhq.safetensors")
    shared.add_argument("--params", type=Path, default=Path("params.yaml"))
    shared.add_argument("--device", default="cpu")
    shared.add_argument("--threads", type=int, default=None)
    shared.add_argument("--seed", type=int, default=0)
    shared.add_argument("--sheet", type=int, default=8, help="photographs on the sheet")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[Bench], None]) -> argparse.ArgumentParser:
        added = commands.add_parser(run.__name__, parents=[shared], help=(run.__doc__ or "").splitlines()[0])
        added.set_defaults(run=run)
        return added

    every = ["wplus", "basecode", "padinv", "wplus+basecode"]
    told = command(throughput)
    told.add_argument("--encoders", nargs="+", default=every[:3])
    told.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32, 64])
    told.add_argument("--draw-up-to", type=int, default=8, help="largest batch drawn (0.7 GB a picture)")
    told.add_argument("--rounds", type=int, default=5)
    told = command(quality)
    told.add_argument("--encoders", nargs="+", default=every)
    told = command(start)
    told.add_argument("--preset", default="cpu_wplus")
    told.add_argument("--arms", nargs="+", default=["encoder:50", "mean:200"], metavar="INIT:STEPS")
    told = command(basecode)
    told.add_argument("--preset", default="cpu_fzplus")
    told.add_argument("--against", nargs="+", default=["mean", "wplus"], choices=["mean", "wplus"])
    told.add_argument("--steps", type=int, default=60)
    told = command(robust)
    told.add_argument("--steps", type=int, default=40)
    told = command(padding)
    told.add_argument("--points", type=int, default=5, help="pictures from t = 0 to 1")
    options = parser.parse_args()

    strict_math(threads=options.threads)
    keep_freed_memory()
    try:
        options.run(Bench(options))
    except GanvertError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
