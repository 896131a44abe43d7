"""Directions of S out of files of other tools: StyleCLIP's vectors of all layers, and StyleSpace's lists of channels.

StyleCLIP's global directions are a list with a vector for each style, or all of them one after the other, with toRGB or
without (orpatashnik/StyleCLIP, global_directions). StyleSpace (Wu et al. 2021, arXiv 2011.12799) names channels by the
number of their layer and their own, such as (6, 501) for smile, and moves them by standard deviations.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganvert.base.errors import ParamsError, ShapeError, TableError
from ganvert.base.texts import brief
from ganvert.directions import Direction
from ganvert.generators.base import Generator, StyleSlot
from ganvert.spaces import slots_of

__all__ = [
    "Channel",
    "Styles",
    "deviation",
    "is_channels",
    "of_channels",
    "of_vectors",
    "read_channels",
    "to_channels",
    "to_vectors",
    "within_rows",
]

#: The layer, by its number in StyleGAN2's order or by the name of its style; the channel; its share.
Channel = tuple[int | str, int, float]
#: The name of a style to a vector [width].
Styles = dict[str, np.ndarray]
MOST_BYTES = 1 << 20  # of a list of channels
MOST_CHANNELS = 100  # of a direction that is written as a list; the deviation of each is measured
_LARGEST = 3e38  # number that float32 holds
_CHUNK = 500  # samples whose styles are computed at once


def is_channels(path: Path) -> bool:
    """Return whether a file is JSON by its first byte; no other file of directions begins so."""
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1] == b"{"


def read_channels(path: Path) -> dict[str, list[Channel]]:
    """Read a list of channels: JSON, a name to [[layer, channel], ...], each with a share behind it or not.

    Raises:
        TableError: it is something else.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise TableError(f"{path}: a list of channels has at most {MOST_BYTES >> 20} MB")
        root = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: not JSON: {error}") from error
    if not isinstance(root, dict) or not root:
        raise TableError(f"{path}: wanted names of directions, each with a list of channels")
    return {name: [_channel(one, name, path) for one in _list(value, name, path)] for name, value in root.items()}


def _list(value: Any, name: str, path: Path) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise TableError(f"{path}: {brief(name)}: wanted [[layer, channel], ...], got {brief(value)}")
    return value if isinstance(value[0], list) else [value]


def _channel(value: Any, name: str, path: Path) -> Channel:
    match value:
        case [int() | str() as layer, int(channel)]:
            share: float = 1.0
        case [int() | str() as layer, int(channel), int() | float() as share]:
            pass
        case _:
            raise TableError(f"{path}: {brief(name)}: wanted [layer, channel] or [layer, channel, share]")
    if isinstance(layer, bool) or isinstance(channel, bool) or not abs(share) < _LARGEST:
        raise TableError(f"{path}: {brief(name)}: wanted numbers, got {brief(value)}")
    return layer, channel, float(share)


def of_channels(channels: Sequence[Channel], generator: Generator, w: np.ndarray, where: str) -> Styles:
    """Return the step of a list of channels: the standard deviation of each over samples w [N, w_dim], times its share.

    Raises:
        ParamsError: the generator has no such layer or channel, or layers are numbered and it is no StyleGAN2.
    """
    slots = {slot.name: slot for slot in generator.style_layout}
    if any(isinstance(layer, int) for layer, _, _ in channels) and generator.architecture != "stylegan2":
        raise ParamsError(
            f"{where}: numbers of layers are those of a StyleGAN2, the generator is a {generator.architecture}; name "
            f"its styles, {', '.join(list(slots)[:3])} ..."
        )
    chosen: list[tuple[StyleSlot, int, float]] = []
    for layer, channel, share in channels:
        slot = slots.get(layer) if isinstance(layer, str) else dict(enumerate(slots.values())).get(layer)
        if slot is None or not 0 <= channel < slot.width:
            raise ParamsError(
                f"{where}: no channel {channel} in layer {layer!r}; "
                + (
                    f"it has {slot.width}"
                    if slot
                    else f"there are {len(slots)} layers, {', '.join(list(slots)[:3])} ..."
                )
            )
        chosen.append((slot, channel, share))
    made = {slot.name: np.zeros(slot.width) for slot, _, _ in chosen}
    for slot, channel, share in chosen:
        one = {slot.name: np.eye(1, slot.width, channel)[0]}
        made[slot.name][channel] += share * deviation(one, generator, w)
    return made


def of_vectors(vectors: Sequence[np.ndarray], generator: Generator, where: str) -> Styles:
    """Return vectors of all styles, or of all but toRGB, by name; one vector alone holds them one after the other.

    Raises:
        ShapeError: they are not those of the generator.
    """
    whole = list(generator.style_layout)
    for slots in (whole, [slot for slot in whole if not slot.to_rgb]):
        widths = [slot.width for slot in slots]
        parts = list(vectors)
        if len(parts) == 1 and parts[0].size == sum(widths):
            parts = np.split(parts[0], np.cumsum(widths)[:-1])
        if [part.size for part in parts] == widths:
            return {slot.name: part for slot, part in zip(slots, parts, strict=True)}
    raise ShapeError(
        f"{where}: {len(vectors)} vectors of {sum(part.size for part in vectors)} numbers; the generator has "
        f"{len(whole)} styles of {sum(slot.width for slot in whole)}, those of toRGB included"
    )


def deviation(styles: Styles, generator: Generator, w: np.ndarray) -> float:
    """Return the standard deviation of the styles of samples w [N, w_dim] along a vector of unit length."""
    along = []
    for part in np.array_split(w, max(1, len(w) // _CHUNK)):
        rows = torch.from_numpy(part.astype(np.float32)).to(generator.w_avg)
        with torch.no_grad():
            found = generator.styles(rows[:, None].expand(-1, generator.num_ws, -1))
        along.append(sum(found[name].double().cpu().numpy() @ vector for name, vector in styles.items()))
    return float(np.std(np.concatenate(along), ddof=1))


def within_rows(styles: Styles, generator: Generator) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the vector of a direction of S, and the rows of ws whose styles it moves."""
    moved = [slot.row for slot in generator.style_layout if slot.name in styles and styles[slot.name].any()]
    rows = min(moved), max(moved) + 1
    parts = [styles.get(slot.name, np.zeros(slot.width)) for slot in slots_of(generator, rows)]
    return np.concatenate(parts), rows


def to_vectors(step: np.ndarray, direction: Direction, generator: Generator) -> list[np.ndarray]:
    """Return a step [d] of a direction of S as a vector for each style of the generator, zeros where it moves none."""
    moved = slots_of(generator, (direction.first_row, direction.last_row))
    parts = np.split(step, np.cumsum([slot.width for slot in moved])[:-1])
    styles = {slot.name: part for slot, part in zip(moved, parts, strict=True)}
    return [styles.get(slot.name, np.zeros(slot.width, step.dtype)) for slot in generator.style_layout]


def to_channels(direction: Direction, generator: Generator, w: np.ndarray) -> list[Channel]:
    """Return amount 1 of a direction of S as channels: shares of their standard deviation over samples w [N, w_dim].

    Layers have numbers on a StyleGAN2, whose order StyleSpace counts in, and the names of their styles otherwise.

    Raises:
        ParamsError: more channels move than such a list is for, or one that does not vary.
    """
    step = direction.vector * direction.unit
    if (count := np.count_nonzero(step)) > MOST_CHANNELS:
        raise ParamsError(
            f"{direction.name}: {count} channels move; a list of channels has at most {MOST_CHANNELS}; write npy or pt"
        )
    made: list[Channel] = []
    for i, (slot, vector) in enumerate(
        zip(generator.style_layout, to_vectors(step, direction, generator), strict=True)
    ):
        for channel in np.flatnonzero(vector):
            one = {slot.name: np.eye(1, slot.width, int(channel))[0]}
            if not (spread := deviation(one, generator, w)):
                raise ParamsError(
                    f"{direction.name}: channel {channel} of {slot.name} is the same in all samples, so that it has no "
                    "standard deviation to be a share of; write npy or pt"
                )
            share = float(vector[channel]) / spread
            made.append((i if generator.architecture == "stylegan2" else slot.name, int(channel), share))
    return made
