"""What the benchmarks of encoders share: photographs, methods, cached results, tables and sheets."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ganvert import tables
from ganvert.base.files import atomic_path
from ganvert.base.preset_files import METHODS, Presets
from ganvert.codes import codes_of_inversion
from ganvert.compute.device import resolve_device
from ganvert.compute.precision import Speed, speed_here
from ganvert.encoders import check_encoder
from ganvert.generators import Generator, load_generator
from ganvert.images import contact_sheet, from_png, to_pil
from ganvert.inversion.presets import Context, Inversion, Preset, read_preset
from ganvert.inversion.run import Crop, invert_crops, make_context
from ganvert.scoring.score import asset_metrics, score_reconstructions
from ganvert.scoring.statistics import Summary

#: Names of weights files; later encoders override earlier ones.
Names = tuple[str, ...]
#: A line of a table: its columns.
Row = dict[str, Any]

SHEET_PX = 256
#: Encoders that are compared unless --encoders names others.
ENCODERS = ("wplus", "wplus:wplus", "padinv")


class Bench:
    """The photographs, the methods that invert them, and the folder of results."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out, self.assets = options, options.out, options.assets
        rows = sorted(tables.read(options.aligned, tables.ALIGNED).to_pylist(), key=lambda row: row["image_id"])
        self.crops = [Crop(row["image_id"], from_png(row["crop"])) for row in rows[: options.count]]
        generator = load_generator(options.generator or options.assets / "mobile_stylegan.safetensors")
        self.generator: Generator = generator.to(resolve_device(options.device))
        self.fingerprint = generator.fingerprint()
        self.px = min(256, generator.resolution)  # images are compared at this size
        self.presets = Presets.of_project(METHODS)
        self.speed = speed_here(Speed(precision=options.precision), self.generator.w_avg.device)
        self._contexts: dict[tuple[str, Names], Context] = {}
        self._fingerprints: dict[int, str] = {}

    def weights(self, name: str) -> Path:
        """Return the weights file of an encoder."""
        return self.options.weights / f"{name}_ffhq.safetensors"

    def context(self, preset: Preset, encoders: Names) -> Context:
        """Return the context of a preset, built once."""
        key = (f"{preset.name} {preset.fingerprint}", encoders)
        if key not in self._contexts:
            paths = [self.weights(name) for name in encoders]
            self._contexts[key] = make_context(preset, self.generator, paths, self.assets, speed=self.speed)
        return self._contexts[key]

    def alone(self, name: str) -> tuple[Preset, Context]:
        """Return the method that draws the prediction of encoders A+B:SPACE, and its context.

        Without a space it is that of the last encoder.
        """
        joined, _, space = name.partition(":")
        encoders = tuple(joined.split("+"))
        space = space or check_encoder(self.weights(encoders[-1]), self.generator).space
        preset = read_preset("alone", {"inverter": "feed_forward", "space": space})
        return preset, self.context(preset, encoders)

    def key(self, crop: Crop, preset: Preset | None = None, context: Context | None = None, **more: Any) -> Row:
        """Return everything that the result of a photograph depends on."""
        facts: Row = {"generator": self.fingerprint, "seed": self.options.seed, "px": self.px, **more}
        facts["crop"] = hashlib.sha256(crop.image.tobytes()).hexdigest()
        if preset is not None:
            facts["options"] = preset.fingerprint
            facts["precision"] = self.speed.precision
        if context is not None and context.encoder is not None:
            if id(context.encoder) not in self._fingerprints:  # reads every weight
                self._fingerprints[id(context.encoder)] = context.encoder.fingerprint()
            facts["encoder"] = self._fingerprints[id(context.encoder)]
        return facts

    def invert(self, crop: Crop, preset: Preset, context: Context) -> tuple[Inversion, Image.Image, Row]:
        """Return the code of one photograph, its reconstruction, and time and status."""
        start, core = time.monotonic(), time.process_time()
        inversion = invert_crops([crop], preset, context, seed=self.options.seed)
        cost = {
            "seconds": time.monotonic() - start,
            "core_s": time.process_time() - core,
            "status": inversion.status[0],
        }
        picture = to_pil(codes_of_inversion(inversion, [crop.image_id], preset.name, self.generator).draw())[0]
        return inversion, picture, {**cost, "status": inversion.status[0]}

    def scored(self, folder: Path, crop: Crop, preset: Preset, context: Context, names: Sequence[str]) -> Row:
        """Return the metrics of one photograph by one method, from `folder` if an earlier run computed them."""

        def compute() -> Row:
            _, picture, cost = self.invert(crop, preset, context)
            save_small(picture, folder / "picture.png")
            return {**self.scores(picture, crop, names), **cost}

        return kept(folder / "scores.json", self.key(crop, preset, context, metrics=list(names)), compute)

    def scores(self, picture: Image.Image, crop: Crop, names: Sequence[str]) -> Row:
        """Return metric -> value; None where no face is found."""
        rows = score_reconstructions([{}], [picture], [crop.image], self.metrics(names), self.generator.image_channels)
        return {row["metric"]: row["value"] for row in rows}

    def metrics(self, names: Sequence[str]) -> list[Any]:
        """Return metrics at the size that images are compared at; those of identity have no size."""
        return asset_metrics(
            [name if name.startswith("identity") else f"{name}_{self.px}" for name in names], self.assets
        )

    def label(self, name: str) -> str:
        """Return the full name of a metric."""
        return name if name.startswith("identity") else f"{name}_{self.px}"

    def sheet(self, name: str, rows: Mapping[str, Sequence[Image.Image]], columns: int) -> None:
        """Write a sheet of images, one labelled row after the other."""
        pictures = [picture for row in rows.values() for picture in row]
        labels = [label if i == 0 else "" for label, row in rows.items() for i in range(len(row))]
        with atomic_path(self.out / f"{name}.png") as temporary:
            contact_sheet(pictures, columns, SHEET_PX, labels).save(temporary)

    def shown(self) -> list[Crop]:
        """Return the photographs on the sheet."""
        return self.crops[: self.options.sheet]

    def report(self, name: str, results: Mapping[str, Sequence[Row]], notes: str, images: Mapping[str, Any]) -> None:
        """Write tables as JSON and Markdown, and print them.

        Args:
            name: of the command.
            results: title -> lines, all with the same columns.
            notes: how to read the tables.
            images: per photograph, for the JSON.
        """
        options = {key: str(value) for key, value in vars(self.options).items() if key not in ("run", "out")}
        facts = {
            "command": name,
            "options": options,
            "generator": self.fingerprint,
            "device": str(self.generator.w_avg.device),
            "threads": torch.get_num_threads(),
            "photographs": [crop.image_id for crop in self.crops],
            "notes": notes,
            "tables": {
                title: [{k: plain(v) for k, v in row.items()} for row in rows] for title, rows in results.items()
            },
            "images": images,
        }
        with atomic_path(self.out / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(plain(facts), indent=1) + "\n")
        parts = [f"# {name}", notes, f"{len(self.crops)} photographs. Brackets: 95 % bootstrap interval of a mean."]
        for title, rows in results.items():
            parts += [f"## {title}", markdown(rows)]
        text = "\n\n".join(parts) + "\n"
        with atomic_path(self.out / f"{name}.md") as temporary:
            temporary.write_text(text)
        print(text)


def kept(path: Path, key: Row, compute: Callable[[], Row]) -> Row:
    """Return the result of `compute`, or that of an earlier run with the same key."""
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
    """Return the value as JSON has it: nan and infinity are None."""
    if isinstance(value, Summary):
        return plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def numbers(rows: Sequence[Row], name: str) -> np.ndarray:
    """Return a column of results; nan where there is none."""
    return np.array([math.nan if row[name] is None else row[name] for row in rows], dtype=np.float64)


def markdown(rows: Sequence[Row]) -> str:
    """Return a Markdown table of lines that have the same columns."""
    cells = [list(rows[0]), ["---"] * len(rows[0]), *([text(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def text(value: Any) -> str:
    """Return a cell: four digits, the interval in brackets, and the number of missing values."""
    if isinstance(value, Summary):
        missing = f" ({value.missing} missing)" if value.missing else ""
        return f"{value.mean:.4g} [{value.low:.4g}, {value.high:.4g}]{missing}" if value.count else f"none{missing}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def save_small(picture: Image.Image, path: Path) -> None:
    """Write an image for the sheet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        picture.resize((SHEET_PX, SHEET_PX), Image.Resampling.LANCZOS).save(temporary)


def shortened(raw: Mapping[str, Any], steps: int | None, **more: Any) -> Row:
    """Return a preset with another number of steps; the shares of preview steps and of the ramps stay."""
    total = steps or raw["steps"]
    return {**raw, "steps": total, "preview_steps": round(raw.get("preview_steps", 0) / raw["steps"] * total), **more}


def per_image(bench: Bench, results: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return method -> photograph -> results."""
    return {
        name: {crop.image_id: row for crop, row in zip(bench.crops, rows, strict=True)}
        for name, rows in results.items()
    }
