"""Inversions as rows: writing codes, reading them back for the generator they belong to, drawing them.

The package may import `inversion` and what lies below.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ganvert import tables
from ganvert.base.errors import ParamsError, TableError
from ganvert.generators import tuned as tuning
from ganvert.generators.base import Generator, SynthesisInput, check_owner
from ganvert.generators.tuned import TunedGenerators
from ganvert.inversion.presets import Context, Inversion, Preset
from ganvert.spaces import Space, Variables, make_space

__all__ = [
    "Codes",
    "batches",
    "code_rows",
    "code_table",
    "codes_of_inversion",
    "read_codes",
    "space_of",
    "tuned_folder",
    "write_codes",
]

_NOISE = "noise_"


@dataclasses.dataclass(frozen=True)
class Codes:
    """Codes of some images in one space of one generator.

    Attributes:
        image_ids: in the table's order.
        method: the preset that made them.
        space: the latent space, bound to the generator; to the image's own after :meth:`select`.
        variables: name to [N, *shape].
        noise: optimised noise maps [N, 1, h, h], or empty for the generator's own.
        status: per image.
        tuned: where the generator was tuned to the images, their own generators.
    """

    image_ids: list[str]
    method: str
    space: Space
    variables: Variables
    noise: list[Tensor]
    status: list[str]
    tuned: TunedGenerators | None = None

    def select(self, index: int) -> Codes:
        """The codes of one image, with its own generator."""
        return Codes(
            [self.image_ids[index]],
            self.method,
            make_space(self.space.name, self.tuned.of(index)) if self.tuned else self.space,
            {name: value[index : index + 1] for name, value in self.variables.items()},
            [value[index : index + 1] for value in self.noise],
            [self.status[index]],
        )

    def with_noise(self, told: SynthesisInput) -> SynthesisInput:
        """`told` with the codes' own noise maps, if they have any."""
        device = self.space.generator.w_avg.device
        return dataclasses.replace(told, noise=[value.to(device) for value in self.noise]) if self.noise else told

    @torch.no_grad()
    def draw(self) -> Tensor:
        """Reconstructions [N, C, resolution, resolution]."""
        if self.tuned:
            return torch.cat([self.select(i).draw() for i in range(len(self.image_ids))])
        device = self.space.generator.w_avg.device
        variables = {name: value.to(device) for name, value in self.variables.items()}
        return self.space.generator.synthesize(self.with_noise(self.space.decode(variables)))


def codes_of_inversion(inversion: Inversion, image_ids: Sequence[str], method: str, generator: Generator) -> Codes:
    """The in-memory form of a fresh inversion. It draws what :func:`read_codes` will draw, to the bit."""
    space, weights = make_space(inversion.space, generator), inversion.weights
    tuned = None
    if any(weights):
        keys = [first if weights[first] else None for first in tuning.first_of_each(weights)]
        tuned = TunedGenerators(generator, keys, lambda first: tuning.compact(weights[first]))
    return Codes(list(image_ids), method, space, inversion.variables, inversion.noise, inversion.status, tuned)


def tuned_folder(path: Path) -> Path:
    """Where the tuned weights of a table of codes lie: beside it, ``NAME.tuned``."""
    return path.with_suffix(".tuned")


def write_codes(
    path: Path, preset: Preset, inversion: Inversion, image_ids: Sequence[str], seeds: Sequence[int], context: Context
) -> None:
    """Write one method's codes as Parquet, every variable a fixed-size float32 column.

    Tuned weights go into :func:`tuned_folder`; the files of an earlier table that this one does not name are removed.
    """
    table, facts = code_table(preset, context)
    # Its tuned weights are stored before the table, so that every table finds its files.
    data = code_rows(preset, inversion, image_ids, seeds, context, tuned=tuned_folder(path))
    with tables.Writer(path, table, facts) as out:
        out.add_table(data)
    for stale in {file.name for file in tuned_folder(path).glob("*.safetensors")} - set(data["tuned"].to_pylist()):
        (tuned_folder(path) / stale).unlink()


def code_table(
    preset: Preset, context: Context, dtype: str = "float32", skip: Sequence[str] = ()
) -> tuple[tables.Table, dict[str, str]]:
    """The table of a method's codes, and its metadata; known before any image is inverted.

    Args:
        preset: the method.
        context: its generator and encoder.
        dtype: of the variables: float32, or float16, which halves the file. Reading gives float32 again.
        skip: variables that are left out; ``noise`` stands for all noise maps. Such codes cannot be drawn.

    Raises:
        ParamsError: the space has no such variable, or there is no such type.
    """
    if dtype not in ("float32", "float16"):
        raise ParamsError(f"dtype of codes: wanted float32 or float16, got {dtype!r}")
    shapes = _shapes(preset, context.generator)
    names = {"noise" if name.startswith(_NOISE) else name for name in shapes}
    if unknown := [name for name in skip if name not in names]:
        raise ParamsError(
            f"skip: codes of method {preset.name!r} have no variable {unknown[0]!r}; "
            f"they have {', '.join(sorted(names))}"
        )
    kept = {
        name: list(shape)
        for name, shape in shapes.items()
        if name not in skip and not ("noise" in skip and name.startswith(_NOISE))
    }
    facts = {
        "shapes": json.dumps(kept),
        "options": json.dumps(preset.settings, sort_keys=True),
        "label": _label(context.generator),
        **_facts(preset, context),
    }
    if skip:
        facts["skipped"] = ",".join(sorted(set(skip)))
    return tables.codes_table(kept, dtype), facts


def code_rows(
    preset: Preset,
    inversion: Inversion,
    image_ids: Sequence[str],
    seeds: Sequence[int],
    context: Context,
    *,
    tuned: Path,
    dtype: str = "float32",
    skip: Sequence[str] = (),
) -> pa.Table:
    """Rows of :func:`code_table`: one per image, whatever it was inverted together with.

    Args:
        preset: the method.
        inversion: what it found.
        image_ids: one per image.
        seeds: one per image.
        context: what it was found with.
        tuned: folder for tuned weights, which are written first.
        dtype: see :func:`code_table`.
        skip: see :func:`code_table`.

    Raises:
        TableError: a number is too large for float16; or the inversion is of another method.
        CheckpointError: tuned weights are not finite.
    """
    table, facts = code_table(preset, context, dtype, skip)
    schema, found = table.schema(facts), dict(inversion.variables)
    found |= {f"{_NOISE}{i:02}": value for i, value in enumerate(inversion.noise)}
    if found.keys() != (wanted := _shapes(preset, context.generator)).keys():
        raise TableError(
            f"codes of method {preset.name!r}: wanted the variables {', '.join(wanted)}, got {', '.join(found)}"
        )
    traces = [_taken(line) for line in inversion.trace.numpy()]
    columns: dict[str, Any] = {
        "image_id": image_ids,
        "status": inversion.status,
        "reason": inversion.reason,
        "steps": list(map(len, traces)),
        "best_step": inversion.best_step.tolist(),
        "seed": seeds,
        "trace": traces,
        "tuned": _save_tuned(tuned, inversion, facts["generator"]),
    }
    of_all = _facts(preset, context)

    def column(field: pa.Field) -> pa.Array:
        if pa.types.is_fixed_size_list(field.type):
            return tables.arrow_vectors(_stored(found[field.name], field.name, dtype, image_ids), field.type)
        values = columns[field.name] if field.name in columns else [of_all[field.name]] * len(image_ids)
        return pa.array(list(values), field.type)

    return pa.Table.from_arrays([column(field) for field in schema], schema=schema)


def _shapes(preset: Preset, generator: Generator) -> dict[str, tuple[int, ...]]:
    """Shape of every variable of a method's codes, of optimised noise maps too."""
    shapes = dict(make_space(preset.space, generator).shapes)
    if _finds_noise(preset):
        shapes |= {f"{_NOISE}{i:02}": (1, *shape) for i, shape in enumerate(generator.noise_shapes)}
    return shapes


def _finds_noise(preset: Preset) -> bool:
    """Whether noise maps come with the codes: a stage optimises them, and none after it drops them."""
    found = False
    for stage in preset.stages:
        noise = getattr(stage.options, "noise", None)  # an encoder knows no noise
        dropped = noise is None or (noise == "const" and not hasattr(stage.options, "space"))  # tuned with its own
        found = noise == "optimise" or (found and not dropped)
    return found


def _facts(preset: Preset, context: Context) -> dict[str, str]:
    """What all codes of a table have in common."""
    return {
        "method": preset.name,
        "space": preset.space,
        "generator": context.generator.fingerprint(),
        "encoder": context.encoder.fingerprint() if preset.needs_encoder and context.encoder else "",
        "config": preset.fingerprint,
    }


def _taken(trace: np.ndarray) -> np.ndarray:
    """The steps that an image took: without the nan behind the last one."""
    there = np.flatnonzero(~np.isnan(trace))
    return trace[: there[-1] + 1] if len(there) else trace[:0]


def _stored(value: Tensor, name: str, dtype: str, image_ids: Sequence[str]) -> np.ndarray:
    """A variable [N, *shape] as rows [N, size] of the type it is stored in."""
    flat = value.detach().cpu().flatten(1)
    rows = flat.to(getattr(torch, dtype))
    if bad := [i for i in range(len(rows)) if not bool(rows[i].isfinite().all()) and bool(flat[i].isfinite().all())]:
        raise TableError(
            f"image {image_ids[bad[0]]}: {name!r} has numbers up to {float(flat[bad[0]].abs().max()):.3g}, "
            "float16 ends at 65504; store float32"
        )
    return np.asarray(rows.numpy())


def _save_tuned(folder: Path, inversion: Inversion, generator: str) -> list[str | None]:
    """Write tuned weights; per image the file's name, None where there are none."""
    if not inversion.weights:
        return [None] * len(inversion.status)
    firsts = tuning.first_of_each(inversion.weights)
    names: dict[int, str | None] = {}
    for first in set(firsts):
        weights = tuning.compact(inversion.weights[first])
        names[first] = tuning.save(folder, weights, generator).name if weights else None
    return [names[first] for first in firsts]


def _label(generator: Generator) -> str:
    return "" if generator.label is None else str(generator.label)


def read_codes(path: Path, generator: Generator, *, whole: bool = True) -> Codes:
    """Read codes back for the generator they belong to.

    Args:
        path: the table.
        generator: the one that they were found on.
        whole: whether they are to be drawn. Without, tables that leave variables out (``skip``) may be read too.

    Raises:
        TableError: missing, damaged, or codes of another generator; variables or tuned weights are missing.
    """
    stored = _Stored(path, generator, whole)
    return stored.codes(tables.read(path, "codes", stored.columns))


def batches(path: Path, generator: Generator, batch: int = 64, *, whole: bool = True) -> Iterator[Codes]:
    """Codes in pieces of at most `batch` images, in order; for the rest see :func:`read_codes`."""
    stored = _Stored(path, generator, whole)
    for part in tables.batches(path, "codes", stored.columns, batch):
        yield stored.codes(part)


def space_of(path: Path, generator: Generator) -> Space:
    """The space of the codes of a table, which are checked as :func:`read_codes` does, but not read."""
    return _Stored(path, generator, whole=True).space


class _Stored:
    """A table of codes that has been checked against a generator."""

    def __init__(self, path: Path, generator: Generator, whole: bool) -> None:
        self.path, self.generator = path, generator
        self.facts = tables.metadata_of(tables.schema_of(path, "codes"))
        check_owner(generator, self.facts.get("generator"), f"{path}: codes", "invert again with this generator")
        if self.facts.get("label", "") != _label(generator):
            raise TableError(
                f"{path}: codes of class {self.facts.get('label') or 'none'}, the generator is asked for class "
                f"{_label(generator) or 'none'}; set generator.label as it was, or invert again"
            )
        skipped = self.facts.get("skipped", "")
        if whole and skipped:
            raise TableError(
                f"{path}: {skipped} of the codes were not stored (skip), so that they cannot be drawn or edited; "
                "invert again without skip, or read the rest with whole=False"
            )
        self.skipped = set(skipped.split(",")) - {""}
        self.space = make_space(self.facts["space"], generator)
        self.columns = ["image_id", "status", "tuned", *self.facts["shapes"]]
        self._check_tuned()

    def codes(self, data: pa.Table | pa.RecordBatch) -> Codes:
        """Rows of the table as codes."""
        variables = {
            name: torch.from_numpy(tables.array(data, name).astype(np.float32)).unflatten(1, shape)
            for name, shape in self.facts["shapes"].items()
        }
        noise = [variables.pop(name) for name in sorted(variables) if name.startswith(_NOISE)]
        if not self.skipped:
            self.space.check(variables)
        image_ids, status, names = (data.column(name).to_pylist() for name in ("image_id", "status", "tuned"))
        return Codes(image_ids, self.facts["method"], self.space, variables, noise, status, self._tuned(names))

    def _tuned(self, names: list[str | None]) -> TunedGenerators | None:
        folder, owner = tuned_folder(self.path), self.facts["generator"]
        if not any(names):
            return None
        return TunedGenerators(self.generator, names, lambda name: tuning.load(folder / name, owner))

    def _check_tuned(self) -> None:
        folder = tuned_folder(self.path)
        for row in tables.rows(self.path, "codes", ["image_id", "tuned"], 4096):
            name = row["tuned"]
            if name and not (re.fullmatch(r"[0-9a-f]{32}\.safetensors", name) and (folder / name).is_file()):
                raise TableError(
                    f"{self.path}: image {row['image_id']} needs the tuned weights {name!r} in {folder}, which are not "
                    "there; put the folder back (`dvc checkout`), or invert again"
                )
