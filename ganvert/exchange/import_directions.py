"""Directions of ours made of another tool's file, with a unit, so that amounts mean what ours mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np

from ganvert.base.errors import ParamsError, ShapeError
from ganvert.base.files import sha256_of
from ganvert.directions import Direction, DirectionSpace, add_directions
from ganvert.exchange.directions_from import ForeignDirection, read_foreign_directions
from ganvert.exchange.style_directions import Styles, deviation, of_channels, of_vectors, within_rows
from ganvert.generators.base import Generator
from ganvert.sampling import codes_of

__all__ = ["SAMPLES", "Unit", "import_directions", "samples_of"]

#: Samples that a unit is measured on: a standard deviation of 10,000 is good to 0.7 %.
SAMPLES = 10_000
#: What amount 1 is: a standard deviation of the samples along the direction, the tool's own step, or a length.
Unit = Literal["fit", "own"] | float


def import_directions(
    path: Path,
    generator: Generator,
    out: Path,
    *,
    name: str | None = None,
    space: str | None = None,
    unit: Unit = "fit",
    rows: tuple[int, int] | None = None,
) -> list[Direction]:
    """Add the directions of another tool's file to a table, which is made if it is not there.

    Args:
        path: the file; see :data:`ganvert.exchange.directions_from.DIRECTION_FILES`.
        generator: the generator whose codes they move. No file says so, hence only the sizes can be checked.
        out: the table of directions.
        name: what a direction is called; the file's name if None. Several directions of a file get their own names
            behind it.
        space: z, w or s; None where the file says it.
        unit: amount 1 is a standard deviation of the generator's samples along the direction ("fit"), the tool's own
            step ("own": amount 1 is then its factor 1), or a length in the space's own units.
        rows: the rows [first, last) it moves instead of the file's.

    Returns:
        The directions that were added. Their unit vectors and the tools' vectors differ by a factor only.

    Raises:
        InputError: no file, no such layout, or `out` has a direction of that name.
        ParamsError: the space has to be named, or does not fit the file; or amount 1 has no positive length.
        ShapeError: the vectors do not fit the generator.
        CheckpointError, TableError, UnsupportedError: see :func:`read_foreign_directions`.
    """
    kind, found = read_foreign_directions(path)
    _check_unit(unit)
    made, samples = [], samples_of(generator)
    source = {"source": path.name, "sha256": sha256_of(path)}
    for one in found:
        label = "-".join(part for part in (name or (path.stem if not one.name else ""), one.name) if part)
        where = _space_of(one, space, path)
        vector, (first, last), along = _moved(one, generator, where, samples, rows, path)
        length = float(np.linalg.norm(vector))
        own = length if one.step is None else one.step
        step = along() / length if unit == "fit" else own if unit == "own" else unit
        if not 0 < step < math.inf:
            why = "the generator's samples do not vary along it" if unit == "fit" else "it is the tool's own step"
            raise ParamsError(
                f"{path}: {label}: wanted a positive length of amount 1, got {step:g} ({why}); choose another --unit"
            )
        made.append(
            Direction(
                name=label,
                space=cast(DirectionSpace, where + ("plus" if vector.ndim == 2 else "")),
                method=f"imported_{kind}",
                vector=vector / length,
                unit=step,
                first_row=first,
                last_row=last,
                quality={**source, "length": length, "own_step": own},
            )
        )
    add_directions(out, made, generator)
    return made


def samples_of(generator: Generator) -> Callable[[str], np.ndarray]:
    """Return the function from "z" or "w" to samples [N, d], which are drawn once, when they are needed."""

    @cache
    def samples(space: str) -> np.ndarray:
        z, w = codes_of(generator, range(SAMPLES))
        return (z if space == "z" else w).cpu().double().numpy()

    return samples


def _check_unit(unit: Unit) -> None:
    if isinstance(unit, float) and not (math.isfinite(unit) and unit > 0):
        raise ParamsError(f"unit: wanted a positive number, fit or own, got {unit}")


def _space_of(found: ForeignDirection, space: str | None, path: Path) -> str:
    chosen = (space or found.space or "").removesuffix("plus")
    if chosen not in ("z", "w", "s"):
        raise ParamsError(
            f"{path}: a vector of {found.vector.shape[-1]} numbers may be of z or w, the file does not say; "
            f"name its space, one of {', '.join(get_args(DirectionSpace))}"
        )
    if found.space not in (None, chosen):
        raise ParamsError(f"{path}: the file says that it is a direction of {found.space}, not of {chosen}")
    return chosen


def _moved(
    found: ForeignDirection,
    generator: Generator,
    space: str,
    samples: Callable[[str], np.ndarray],
    rows: tuple[int, int] | None,
    path: Path,
) -> tuple[np.ndarray, tuple[int, int], Callable[[], float]]:
    """Return the vector, the rows it moves, and what measures the standard deviation of samples along it."""
    if space == "s":
        styles = _styles(found, generator, samples, rows, path)
        return *within_rows(styles, generator), lambda: deviation(styles, generator, samples("w"))
    vector, moved = _fitted(found, generator, space, rows, path)
    return vector, moved, lambda: _deviation(samples(space), vector)


def _styles(
    found: ForeignDirection,
    generator: Generator,
    samples: Callable[[str], np.ndarray],
    rows: tuple[int, int] | None,
    path: Path,
) -> Styles:
    """Return the vectors of the styles that a direction of S moves, by their names."""
    if rows is not None:
        raise ParamsError(f"{path}: a direction of s moves styles, whatever rows they read: leave out the rows")
    if found.channels:
        styles = of_channels(found.channels, generator, samples("w"), str(path))
    else:
        styles = of_vectors(found.styles or (found.vector.reshape(-1),), generator, str(path))
    if not any(part.any() for part in styles.values()):
        raise ShapeError(f"{path}: the direction is zero")
    return styles


def _fitted(
    found: ForeignDirection, generator: Generator, space: str, rows: tuple[int, int] | None, path: Path
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the vector [d] or [rows, d] and the rows it moves, after a check against the generator."""
    size, count = generator.z_dim if space == "z" else generator.w_dim, generator.num_ws
    vector = found.vector
    if vector.ndim == 1 and vector.size == size * count:
        vector = vector.reshape(count, size)  # FeatureStyleEncoder writes the rows one after the other
    if vector.shape[-1] != size or vector.ndim > 2:
        raise ShapeError(f"{path}: vectors of {vector.shape[-1]} numbers, but {space} of the generator has {size}")
    first, last = found.rows or (0, count if vector.ndim == 1 else len(vector))
    if vector.ndim == 2 and found.rows is None and len(vector) != count:
        raise ShapeError(f"{path}: {len(vector)} rows, but the generator has {count}")
    if rows is not None:
        if vector.ndim == 2:
            vector = vector[max(rows[0] - first, 0) : max(rows[1] - first, 0)]
        first, last = rows
    if not vector.any():
        raise ShapeError(f"{path}: the direction is zero")
    if not 0 <= first < last <= count or (vector.ndim == 2 and len(vector) != last - first):
        raise ShapeError(f"{path}: rows [{first}, {last}) are not within the {count} of the generator and the file's")
    return vector, (first, last)


def _deviation(codes: np.ndarray, vector: np.ndarray) -> float:
    """Return for one vector the standard deviation of codes [N, d] along it, times its length.

    For a vector per row [R, d] of length 1 as a whole, it is the length at which the rows move as far as rows of one
    vector would: with equal rows v / sqrt(R), every row moves by one standard deviation along v.
    """
    rows = np.atleast_2d(vector)
    variances = np.var(codes @ rows.T, axis=0, ddof=1)
    return float(np.sqrt(len(rows) * variances.sum()))
