"""Directions as other tools keep them: one entry of :data:`DIRECTION_FILES` per layout, recognised by content."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ganvert.base.errors import InputError, TableError, UnsupportedError
from ganvert.base.texts import brief
from ganvert.exchange.files import is_numbers, read_file, readings
from ganvert.exchange.style_directions import Channel, is_channels, read_channels

__all__ = ["DIRECTION_FILES", "DirectionFile", "ForeignDirection", "read_foreign_directions"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ForeignDirection:
    """A direction out of a file.

    Attributes:
        name: what the file calls it; empty where it has no name.
        vector: float64, [d] for all rows, or [R, d] with a vector per row.
        rows: the rows it moves, half open; None for all.
        step: length of the tool's own step along the unit vector; None where it is the vector's own length.
        space: "z", "w" or "s" where the file says so.
        styles: vectors [width] of the styles instead of a vector, in the order of the layers.
        channels: channels of styles instead of a vector.
    """

    name: str = ""
    vector: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    rows: tuple[int, int] | None = None
    step: float | None = None
    space: str | None = None
    styles: tuple[np.ndarray, ...] = ()
    channels: tuple[Channel, ...] = ()


@dataclasses.dataclass(frozen=True)
class DirectionFile:
    """One layout: who writes it, whether the content of a file has it (never raises), and its directions."""

    tools: str
    matches: Callable[[Any], bool]
    read: Callable[[Any], list[ForeignDirection]]


def read_foreign_directions(path: Path) -> tuple[str, list[ForeignDirection]]:
    """Return the layout of a file, and the directions in it.

    Raises:
        InputError: there is no such file, or no layout fits.
        CheckpointError: the file is damaged, or asks for something that is not allowed.
        TableError: its numbers are not directions.
        UnsupportedError: it moves something other than codes.
    """
    if path.is_file() and is_channels(path):
        found = [
            ForeignDirection(name=name, space="s", channels=tuple(channels))
            for name, channels in read_channels(path).items()
        ]
        return "channels", found
    for root in readings(read_file(path)):
        for kind, layout in DIRECTION_FILES.items():
            if layout.matches(root):
                try:
                    return kind, layout.read(root)
                except (TableError, UnsupportedError) as error:
                    raise type(error)(f"{path}: read as directions of {layout.tools}: {error}") from error
    known = "; ".join(layout.tools for layout in DIRECTION_FILES.values())
    raise InputError(f"{path}: no directions; read are those of {known}; StyleSpace's channels (JSON)")


def numbers(value: Any, what: str) -> np.ndarray:
    """Return an array or tensor as float64; TableError if it holds no floats, or others than float32 has."""
    if not is_numbers(value):
        raise TableError(f"{what}: wanted an array of floats, got {type(value).__name__}")
    array = np.asarray(value.detach() if hasattr(value, "detach") else value, dtype=np.float64)
    if not (np.abs(array) <= np.finfo(np.float32).max).all():
        raise TableError(f"{what}: it has numbers that are not finite, or too large for float32")
    return array


def _is_vector(root: Any) -> bool:
    return is_numbers(root) and (root.ndim in (1, 2) or (root.ndim == 3 and len(root) == 1))


def _vector(root: Any) -> list[ForeignDirection]:
    vector = numbers(root, "the vector")
    # [1, d] is InterFaceGAN's vector for all rows, [1, R, d] a vector per row, as is [R, d] (GANSpace's steerability).
    return [ForeignDirection(vector=vector[0] if vector.ndim > 1 and len(vector) == 1 else vector)]


def _is_styles(root: Any) -> bool:
    return (
        isinstance(root, list | tuple)
        and len(root) > 1
        and all(is_numbers(value) and max(value.shape, default=0) == _size(value) for value in root)
    )


def _size(value: Any) -> int:
    return int(value.numel() if hasattr(value, "numel") else value.size)


def _styles(root: Any) -> list[ForeignDirection]:
    """Read a vector for each style, as StyleCLIP makes them of texts; axes of size 1 around it are dropped."""
    return [ForeignDirection(space="s", styles=tuple(numbers(value, "a style").reshape(-1) for value in root))]


def _is_boundary(root: Any) -> bool:
    return isinstance(root, dict) and is_numbers(root.get("boundary"))


def _boundary(root: Any) -> list[ForeignDirection]:
    """Read IDInvert's dict: `boundary` [1, R, d], of which `meta_data.manipulate_layers` names the rows that move."""
    vector = numbers(root["boundary"], "boundary")
    facts = root.get("meta_data")
    layers = facts.get("manipulate_layers") if isinstance(facts, dict) else None
    if vector.ndim > 1 and len(vector) == 1:
        vector = vector[0]
    if vector.ndim > 2:
        raise TableError(f"wanted one boundary, [1, R, d], got shape {list(vector.shape)}")
    if layers is None:
        return [ForeignDirection(vector=vector, space="w")]
    rows = layers.tolist() if isinstance(layers, np.ndarray) else layers
    if not isinstance(rows, list | tuple) or not all(type(row) is int for row in rows):
        rows = []
    if vector.ndim != 2 or not rows or not all(0 <= row < len(vector) for row in rows):
        raise TableError(f"manipulate_layers are {brief(layers)}, the boundary has shape {list(vector.shape)}")
    moved = np.zeros_like(vector)
    moved[rows] = vector[rows]
    return [ForeignDirection(vector=moved[min(rows) : max(rows) + 1], rows=(min(rows), max(rows) + 1), space="w")]


def _is_pca(root: Any) -> bool:
    return isinstance(root, dict) and all(is_numbers(root.get(name)) for name in ("mean", "comp", "std"))


def _pca(root: Any) -> list[ForeignDirection]:
    """Read GANSpace's components as e4e and PTI ship them, of W."""
    return _components(root["comp"], root["std"], "w")


def _is_ganspace(root: Any) -> bool:
    return isinstance(root, dict) and all(is_numbers(root.get(name)) for name in ("lat_comp", "lat_stdev"))


def _ganspace(root: Any) -> list[ForeignDirection]:
    """Read GANSpace's archive of components; `lat_*` is the latent space, Z or W, which its file's name says."""
    return _components(root["lat_comp"], root["lat_stdev"], None)


def _components(components: Any, deviations: Any, space: str | None) -> list[ForeignDirection]:
    vectors, steps = numbers(components, "components"), numbers(deviations, "deviations").reshape(-1)
    if vectors.ndim != 3 or vectors.shape[1] != 1 or len(vectors) != len(steps):
        raise TableError(f"components of shape {list(vectors.shape)}, {len(steps)} deviations")
    return [
        ForeignDirection(name=f"pc{i}", vector=vector, step=float(step) * float(np.linalg.norm(vector)), space=space)
        for i, (vector, step) in enumerate(zip(vectors[:, 0], steps, strict=True))
    ]


def _is_named(root: Any) -> bool:
    return isinstance(root, dict) and is_numbers(root.get("lat_comp")) and "edit_type" in root


def _named(root: Any) -> list[ForeignDirection]:
    """Read one named direction as GANSpace's window saves it: a component with the rows that it moves."""
    if root["edit_type"] != "latent":
        raise UnsupportedError(f"it moves a layer's activations (edit_type {brief(root['edit_type'])}), not a code")
    vector = numbers(root["lat_comp"], "lat_comp").reshape(-1)
    step, first, last = root.get("lat_stdev"), root.get("edit_start"), root.get("edit_end")
    if not isinstance(step, float | int) or not isinstance(first, int) or not isinstance(last, int):
        raise TableError("lat_stdev, edit_start or edit_end is missing")
    if not math.isfinite(step):
        raise TableError(f"lat_stdev is {step}; wanted a finite number")
    space = {"Z": "z", "W": "w"}.get(str(root.get("latent_space")))
    length = float(step) * float(np.linalg.norm(vector))
    name = str(root.get("name") or "")
    return [ForeignDirection(name=name, vector=vector, rows=(first, last), step=length, space=space)]


DIRECTION_FILES: dict[str, DirectionFile] = {
    "vector": DirectionFile("InterFaceGAN, e4e, BDInvert, FeatureStyleEncoder (an array)", _is_vector, _vector),
    "styleclip": DirectionFile("StyleCLIP in S (a list with a vector for each style)", _is_styles, _styles),
    "idinvert": DirectionFile("IDInvert (boundary, meta_data)", _is_boundary, _boundary),
    "ganspace_direction": DirectionFile("GANSpace's window (lat_comp, edit_type)", _is_named, _named),
    "ganspace_pca": DirectionFile("GANSpace in e4e and PTI (mean, comp, std)", _is_pca, _pca),
    "ganspace": DirectionFile("GANSpace's archives (lat_comp, lat_stdev)", _is_ganspace, _ganspace),
}
