"""Writing the table of codes: its schema before any image is inverted, its rows, and the tuned weights beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ganvert import tables
from ganvert.base.errors import ParamsError, TableError
from ganvert.codes.table import NOISE, label_of, tuned_folder
from ganvert.generators import tuned as tuning
from ganvert.generators.base import Generator
from ganvert.inversion.presets import Context, Inversion, Preset
from ganvert.spaces import make_space

__all__ = ["code_rows", "code_table", "write_codes"]


def write_codes(
    path: Path, preset: Preset, inversion: Inversion, image_ids: Sequence[str], seeds: Sequence[int], context: Context
) -> None:
    """Write one method's codes as Parquet, every variable a fixed-size float32 column.

    Tuned weights go into :func:`tuned_folder`; files of an earlier table that this one does not name are removed.
    """
    table, facts = code_table(preset, context)
    # The tuned weights are stored before the table, so that every table finds its files.
    rows = code_rows(preset, inversion, image_ids, seeds, context, tuned=tuned_folder(path))
    with tables.Writer(path, table, facts) as out:
        out.add_table(rows)
    for stale in {file.name for file in tuned_folder(path).glob("*.safetensors")} - set(rows["tuned"].to_pylist()):
        (tuned_folder(path) / stale).unlink()


def code_table(
    preset: Preset, context: Context, dtype: str = "float32", skip: Sequence[str] = ()
) -> tuple[tables.Table, dict[str, str]]:
    """Return the table of a method's codes, and its metadata; both are known before any image is inverted.

    Args:
        preset: the method.
        context: its generator and encoder.
        dtype: of the variables: float32, or float16, which halves the file. Reading gives float32 again.
        skip: variables to leave out; ``noise`` stands for all noise maps. Such codes cannot be drawn.

    Raises:
        ParamsError: the space has no such variable, or there is no such type.
    """
    if dtype not in ("float32", "float16"):
        raise ParamsError(f"dtype of codes: wanted float32 or float16, got {dtype!r}")
    shapes = _shapes(preset, context.generator)
    check_skip(preset, context.generator, skip)
    kept = {
        name: list(shape)
        for name, shape in shapes.items()
        if name not in skip and not ("noise" in skip and name.startswith(NOISE))
    }
    facts = {
        "shapes": json.dumps(kept),
        "options": json.dumps(preset.settings, sort_keys=True),
        "label": label_of(context.generator),
        "precision": context.engine.speed.precision,
        **_shared_facts(preset, context),
    }
    if skip:
        facts["skipped"] = ",".join(sorted(set(skip)))
    return tables.codes_table(kept, dtype), facts


def check_skip(preset: Preset, generator: Generator, skip: Sequence[str]) -> None:
    """Raise ParamsError for a variable to leave out that the codes of a method do not have."""
    names = {"noise" if name.startswith(NOISE) else name for name in _shapes(preset, generator)}
    if unknown := [name for name in skip if name not in names]:
        raise ParamsError(
            f"skip: codes of method {preset.name!r} have no variable {unknown[0]!r}; "
            f"they have {', '.join(sorted(names))}"
        )


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
    """Return rows of :func:`code_table`: one per image, whatever it was inverted together with.

    Args:
        preset: the method.
        inversion: its result, N images.
        image_ids: N.
        seeds: N.
        context: what it was computed with.
        tuned: folder for tuned weights, which are written first.
        dtype: see :func:`code_table`.
        skip: see :func:`code_table`.

    Raises:
        TableError: a number is too large for float16, or the inversion is of another method.
        CheckpointError: tuned weights are not finite.
    """
    table, facts = code_table(preset, context, dtype, skip)
    schema, variables = table.schema(facts), dict(inversion.variables)
    variables |= {f"{NOISE}{i:02}": value for i, value in enumerate(inversion.noise)}
    if variables.keys() != (wanted := _shapes(preset, context.generator)).keys():
        raise TableError(
            f"codes of method {preset.name!r}: wanted the variables {', '.join(wanted)}, got {', '.join(variables)}"
        )
    traces = [_steps_taken(trace) for trace in inversion.trace.numpy()]
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
    shared = _shared_facts(preset, context)

    def column(field: pa.Field) -> pa.Array:
        if pa.types.is_fixed_size_list(field.type):
            rows = _rows_of(variables[field.name], field.name, dtype, image_ids)
            return tables.arrow_vectors(rows, field.type)
        values = columns[field.name] if field.name in columns else [shared[field.name]] * len(image_ids)
        return pa.array(list(values), field.type)

    return pa.Table.from_arrays([column(field) for field in schema], schema=schema)


def _shapes(preset: Preset, generator: Generator) -> dict[str, tuple[int, ...]]:
    """Return the shape of every variable of a method's codes, optimised noise maps included."""
    shapes = dict(make_space(preset.space, generator).shapes)
    if _optimises_noise(preset):
        shapes |= {f"{NOISE}{i:02}": (1, *shape) for i, shape in enumerate(generator.noise_shapes)}
    return shapes


def _optimises_noise(preset: Preset) -> bool:
    """Return whether noise maps come with the codes: a stage optimises them, and none after it drops them."""
    optimised = False
    for stage in preset.stages:
        noise = getattr(stage.options, "noise", None)  # an encoder predicts no noise, and keeps none
        # An optimisation keeps the maps of the stage before it, tuning with "const" draws with the generator's own.
        dropped = noise is None or (noise == "const" and not hasattr(stage.options, "space"))
        optimised = noise == "optimise" or (optimised and not dropped)
    return optimised


def _shared_facts(preset: Preset, context: Context) -> dict[str, str]:
    """Return what all codes of a table have in common."""
    return {
        "method": preset.name,
        "space": preset.space,
        "generator": context.generator.fingerprint(),
        "encoder": context.encoder.fingerprint() if preset.needs_encoder and context.encoder else "",
        "config": preset.fingerprint,
    }


def _steps_taken(trace: np.ndarray) -> np.ndarray:
    """Return a trace without the nan after its last step, which only pad the batch."""
    taken = np.flatnonzero(~np.isnan(trace))
    return trace[: taken[-1] + 1] if len(taken) else trace[:0]


def _rows_of(value: Tensor, name: str, dtype: str, image_ids: Sequence[str]) -> np.ndarray:
    """Return a variable [N, *shape] as rows [N, size] of the type it is stored in."""
    flat = value.detach().cpu().flatten(1)
    # Only overflow is an error here: numbers that were not finite before belong to an image marked as diverged.
    rows = flat.to(getattr(torch, dtype))
    if bad := [i for i in range(len(rows)) if not bool(rows[i].isfinite().all()) and bool(flat[i].isfinite().all())]:
        raise TableError(
            f"image {image_ids[bad[0]]}: {name!r} has numbers up to {float(flat[bad[0]].abs().max()):.3g}, "
            "float16 ends at 65504; store float32"
        )
    return np.asarray(rows.numpy())


def _save_tuned(folder: Path, inversion: Inversion, generator: str) -> list[str | None]:
    """Write tuned weights and return each image's file name, None where the generator is untuned."""
    if not inversion.weights:
        return [None] * len(inversion.status)
    firsts = tuning.first_of_each(inversion.weights)
    names: dict[int, str | None] = {}
    for first in set(firsts):
        # Named by the hash of their content: images that were tuned together share one file.
        weights = tuning.compact(inversion.weights[first])
        names[first] = tuning.save(folder, weights, generator).name if weights else None
    return [names[first] for first in firsts]
