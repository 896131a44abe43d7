"""A table of codes made of another tool's file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from ganvert import tables
from ganvert.base.errors import InputError, ParamsError, ShapeError, TableError
from ganvert.base.files import sha256_of
from ganvert.codes.table import NOISE, label_of
from ganvert.exchange.codes_from import ForeignCodes, read_foreign_codes
from ganvert.exchange.files import names_of_files
from ganvert.generators.base import Generator
from ganvert.spaces import Space, Variables, make_space
from ganvert.spaces.feature import Feature

__all__ = ["import_codes"]


def import_codes(
    path: Path,
    generator: Generator,
    out: Path,
    *,
    space: str | None = None,
    names: Sequence[str] | None = None,
    method: str = "imported",
) -> tuple[int, str]:
    """Write the codes of another tool's file as a table of codes, which edits, reports and metrics take.

    Args:
        path: the file, or BDInvert's folder; see :data:`ganvert.exchange.codes_from.CODE_FILES`.
        generator: the generator that the codes were found on. No file says so, hence it cannot be checked.
        out: the table.
        space: a name of :data:`ganvert.spaces.SPACES`; None decides by shape: one vector or equal rows are W, other
            rows W+, with a feature map F/W+, a list of styles S. Vectors of Z have to be named.
        names: the images' names in the file's order, where the file has none or others are wanted.
        method: what the table calls the method.

    Returns:
        The number of codes, and their space.

    Raises:
        InputError, CheckpointError, TableError: see :func:`read_foreign_codes`.
        ParamsError: the names are not one for each code.
        ShapeError: the codes do not fit the generator or the space.
    """
    found = read_foreign_codes(path)
    labels = list(names) if names is not None else found.names
    if labels is None:
        labels = [f"{i:06d}" for i in range(found.count)]
    if len(labels) != found.count:
        raise ParamsError(f"{path}: wanted {found.count} names, one for each code, got {len(labels)}")
    chosen = make_space(space or _space_of(found, generator, path), generator)
    try:
        variables = _variables(found, chosen)
        chosen.check(variables)
    except ShapeError as error:
        raise ShapeError(f"{path}: codes of {found.kind} in {chosen.name}: {error}") from error
    _write(out, names_of_files(labels), chosen, variables, _noise(found, generator, path), generator, method, path)
    return found.count, chosen.name


def _space_of(found: ForeignCodes, generator: Generator, path: Path) -> str:
    if found.styles:
        return "s"
    if found.space is not None:
        return found.space
    if found.rows is None:
        raise TableError(f"{path}: no codes in it")
    if found.feature is not None:
        return f"f{found.feature.shape[-1]}/wplus"
    if found.rows.ndim == 2:
        if found.kind == "rosinality":
            return "w"
        raise InputError(f"{path}: vectors of {found.rows.shape[1]} numbers may be of z or w, the file does not say")
    # Tools write a w as equal rows; equal to the bit, or it is W+.
    return "w" if bool((found.rows == found.rows[:, :1]).all()) and found.rows.shape[1] == generator.num_ws else "wplus"


def _variables(found: ForeignCodes, space: Space) -> Variables:
    """Return the codes as variables of the space; its check finds what does not fit."""
    if found.styles:
        return _styles(found.styles, space)
    rows = found.rows
    assert rows is not None
    generator = space.generator
    wanted = space.shapes
    if rows.ndim == 3 and rows.shape[1] not in (1, generator.num_ws):
        raise ShapeError(f"{rows.shape[1]} rows, but the generator has {generator.num_ws}")
    variables: Variables = {}
    for name, shape in wanted.items():
        if name == "f":
            if found.feature is None:
                raise ShapeError("the file has no feature map")
            variables[name] = found.feature
        elif len(shape) == 2:  # rows: those that the space codes are the last ones
            whole = rows if rows.ndim == 3 else rows[:, None]
            variables[name] = whole.expand(-1, generator.num_ws, -1)[:, -shape[0] :].contiguous()
        elif rows.ndim == 3 and not bool((rows == rows[:, :1]).all()):
            raise ShapeError("the rows of a code differ; wplus takes them")
        else:
            variables[name] = rows[:, 0].contiguous() if rows.ndim == 3 else rows
    if found.feature is not None and not isinstance(space, Feature):
        raise ShapeError("the file has a feature map, which the space has not")
    return variables


def _styles(styles: list[Tensor], space: Space) -> Variables:
    """Return styles by the names of their slots; theirs and ours are both in the order of the layers."""
    names = list(space.shapes)
    if space.name != "s" or len(names) != len(styles):
        raise ShapeError(f"{len(styles)} styles, wanted the {len(names)} of {', '.join(names[:4])} ...")
    return dict(zip(names, styles, strict=True))


def _noise(found: ForeignCodes, generator: Generator, path: Path) -> list[Tensor]:
    shapes = [tuple(noise.shape[-2:]) for noise in found.noise]
    if shapes and shapes != list(generator.noise_shapes):
        raise ShapeError(
            f"{path}: noise maps of {[size for size, _ in shapes]} px, but the generator has them of "
            f"{[size for size, _ in generator.noise_shapes]} px"
        )
    return found.noise


def _write(
    out: Path,
    image_ids: list[str],
    space: Space,
    variables: Variables,
    noise: list[Tensor],
    generator: Generator,
    method: str,
    source: Path,
) -> None:
    everything = dict(variables) | {f"{NOISE}{i:02}": value for i, value in enumerate(noise)}
    shapes = {name: list(value.shape[1:]) for name, value in everything.items()}
    digest = "" if source.is_dir() else sha256_of(source)
    shared = {
        "method": method,
        "space": space.name,
        "generator": generator.fingerprint(),
        "encoder": "",
        "config": digest,
    }
    facts = {
        **shared,
        "shapes": json.dumps(shapes),
        "options": json.dumps({"source": source.name, "sha256": digest}),
        "label": label_of(generator),
    }
    columns = {
        "image_id": image_ids,
        "status": ["ok"] * len(image_ids),
        "reason": [""] * len(image_ids),
        "steps": [0] * len(image_ids),
        "best_step": [0] * len(image_ids),
        "seed": [0] * len(image_ids),
        "tuned": [None] * len(image_ids),
        "trace": [[]] * len(image_ids),
    } | {name: [value] * len(image_ids) for name, value in shared.items()}
    table = tables.codes_table(shapes)
    schema = table.schema(facts)
    arrays = [
        tables.arrow_vectors(everything[field.name].flatten(1).to(torch.float32).numpy(), field.type)
        if field.name in everything
        else pa.array(columns[field.name], field.type)
        for field in schema
    ]
    with tables.Writer(out, table, facts) as writer:
        writer.add_table(pa.Table.from_arrays(arrays, schema=schema))
