"""Our directions as files that other tools read: one entry of :data:`DIRECTION_EXPORTS` per kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ganvert.base.errors import ParamsError
from ganvert.base.files import atomic_path
from ganvert.base.registry import lookup
from ganvert.directions import Direction

__all__ = ["DIRECTION_EXPORTS", "export_direction"]


def export_direction(direction: Direction, num_ws: int, kind: str, out: Path) -> None:
    """Write a direction for another tool: its factor 1 is our amount 1, a standard deviation of the samples.

    Args:
        direction: it moves all rows, or becomes a vector per row with zeros in the others.
        num_ws: rows of the generator.
        kind: a name of :data:`DIRECTION_EXPORTS`.
        out: the file.

    Raises:
        UnknownNameError: there is no such kind.
        ParamsError: it is a direction of S or of some rows of Z, which these tools have no place for.
    """
    write = lookup(DIRECTION_EXPORTS, kind, "kind of export")
    if direction.space == "s":
        raise ParamsError(f"{direction.name}: a direction of s; these tools move z and w")
    step = direction.vector * direction.unit
    if direction.vector.ndim == 2 or (direction.first_row, direction.last_row) != (0, num_ws):
        if direction.moves_in == "z":
            raise ParamsError(f"{direction.name}: a direction of some rows of z; these tools move whole z")
        whole = np.zeros((num_ws, step.shape[-1]))
        whole[direction.first_row : direction.last_row] = step
        step = whole
    with atomic_path(out) as temporary:
        write(step[None].astype(np.float32), temporary)


def _write_npy(step: np.ndarray, path: Path) -> None:
    """Write [1, d] or [1, R, d], as InterFaceGAN's boundaries; the vector keeps its length."""
    np.save(path, step, allow_pickle=False)


def _write_pt(step: np.ndarray, path: Path) -> None:
    """Write the same as a tensor, as e4e's and BDInvert's directions."""
    torch.save(torch.from_numpy(step.copy()), path)


DIRECTION_EXPORTS: dict[str, Callable[[np.ndarray, Path], None]] = {"npy": _write_npy, "pt": _write_pt}
