"""Our directions as files that other tools read: one entry of :data:`DIRECTION_EXPORTS` per kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ganvert.base.errors import ParamsError
from ganvert.base.files import atomic_path
from ganvert.base.registry import lookup
from ganvert.directions import Direction
from ganvert.exchange.files import save_tensors
from ganvert.exchange.import_directions import samples_of
from ganvert.exchange.style_directions import to_channels, to_vectors
from ganvert.generators.base import Generator

__all__ = ["DIRECTION_EXPORTS", "export_direction"]


def export_direction(direction: Direction, generator: Generator, kind: str, out: Path) -> None:
    """Write a direction for another tool: its factor 1 is our amount 1, a standard deviation of the samples.

    Args:
        direction: it moves all rows, or becomes a vector per row with zeros in the others. One of S becomes a vector
            for each style.
        generator: whose codes it moves.
        kind: a name of :data:`DIRECTION_EXPORTS`.
        out: the file.

    Raises:
        UnknownNameError: there is no such kind.
        ParamsError: the tools that read this kind have no place for such a direction.
    """
    write = lookup(DIRECTION_EXPORTS, kind, "kind of export")
    with atomic_path(out) as temporary:
        write(direction, generator, temporary)


def _write_npy(direction: Direction, generator: Generator, path: Path) -> None:
    """Write [1, d] or [1, R, d], as InterFaceGAN's boundaries, or all styles in a row; the vector keeps its length."""
    if direction.space == "s":
        step = np.concatenate(to_vectors(direction.step(1), direction, generator))
    else:
        step = _step_of_rows(direction, generator.num_ws)
    with path.open("wb") as file:  # a path without its suffix would get one
        np.save(file, step[None], allow_pickle=False)


def _write_pt(direction: Direction, generator: Generator, path: Path) -> None:
    """Write the same as a tensor, as e4e's and BDInvert's directions, or a list of styles, as StyleCLIP's."""
    if direction.space == "s":
        styles = to_vectors(direction.step(1), direction, generator)
        save_tensors([torch.from_numpy(style.copy()) for style in styles], path)
    else:
        save_tensors(torch.from_numpy(_step_of_rows(direction, generator.num_ws)[None].copy()), path)


def _write_channels(direction: Direction, generator: Generator, path: Path) -> None:
    """Write a list of channels with their shares of a standard deviation, as StyleSpace names them."""
    if direction.space != "s":
        raise ParamsError(f"{direction.name}: a direction of {direction.space}; channels are those of s")
    channels = to_channels(direction, generator, samples_of(generator)("w"))
    path.write_text(json.dumps({direction.name: channels}))


def _step_of_rows(direction: Direction, num_ws: int) -> np.ndarray:
    """Return amount 1 as float32 [d] where all rows move alike, otherwise [R, d] with zeros in rows that do not."""
    step = direction.step(1)
    if step.ndim == 1 and (direction.first_row, direction.last_row) == (0, num_ws):
        return step
    if direction.moves_in == "z":
        raise ParamsError(f"{direction.name}: a direction of some rows of z; these tools move whole z")
    whole = np.zeros((num_ws, step.shape[-1]), np.float32)
    whole[direction.first_row : direction.last_row] = step
    return whole


DIRECTION_EXPORTS: dict[str, Callable[[Direction, Generator, Path], None]] = {
    "npy": _write_npy,
    "pt": _write_pt,
    "channels": _write_channels,
}
