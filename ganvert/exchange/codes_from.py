"""Codes as other tools keep them: one entry of :data:`CODE_FILES` per layout, recognised by content.

All of them are absolute: the mean w is in them. None says which generator it belongs to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import InputError, TableError
from ganvert.base.texts import brief
from ganvert.exchange.files import is_numbers, read_file, readings, tensor, unwrapped
from ganvert.exchange.hdf5 import SIGNATURE, read_hdf5

__all__ = ["CODE_FILES", "CodeFile", "ForeignCodes", "read_foreign_codes"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ForeignCodes:
    """Codes of N images out of a file.

    Attributes:
        kind: the entry of :data:`CODE_FILES` that read them.
        names: the images' names in the file; None where it has none.
        rows: [N, R, d], or [N, d] of one vector for all rows.
        feature: [N, c, h, h] where the codes have a feature map.
        styles: one [N, width] per style slot, in the order of StyleGAN2's layers, instead of rows.
        noise: optimised noise maps, [N, 1, h, h] each.
        space: the space that the file says they are of.
    """

    kind: str
    names: list[str] | None = None
    rows: Tensor | None = None
    feature: Tensor | None = None
    styles: list[Tensor] = dataclasses.field(default_factory=list)
    noise: list[Tensor] = dataclasses.field(default_factory=list)
    space: str | None = None

    @property
    def count(self) -> int:
        """Number of images N."""
        return len(self.rows) if self.rows is not None else len(self.styles[0])


@dataclasses.dataclass(frozen=True)
class CodeFile:
    """One layout.

    Attributes:
        tools: who writes it, for users.
        matches: returns whether the content of a file has this layout; never raises.
        read: returns the fields of :class:`ForeignCodes`.
    """

    tools: str
    matches: Callable[[Any], bool]
    read: Callable[[Any], dict[str, Any]]


def read_foreign_codes(path: Path) -> ForeignCodes:
    """Read codes of another tool.

    Args:
        path: a file, or BDInvert's folder with `invert_detailcode` and `invert_basecode`.

    Raises:
        InputError: there is no such file, or no layout fits.
        CheckpointError: the file is damaged, or asks for something that is not allowed.
        TableError: its numbers are not codes.
    """
    if path.is_dir():
        return _read_bdinvert(path)
    if path.is_file() and _begins(path, SIGNATURE):
        names, space, rows = read_hdf5(path)
        return ForeignCodes(kind="hdf5", names=names, rows=tensor(rows, str(path)), space=space)
    for root in readings(read_file(path)):
        for kind, layout in CODE_FILES.items():
            if layout.matches(root):
                try:
                    return ForeignCodes(kind=kind, **layout.read(root))
                except TableError as error:
                    raise TableError(f"{path}: read as codes of {layout.tools}: {error}") from error
    known = "; ".join(layout.tools for layout in CODE_FILES.values())
    raise InputError(
        f"{path}: {_summary(root)} is no file of codes; those that are read: {known}; HDF5 of "
        "face_synthetics; BDInvert's folder"
    )


def _begins(path: Path, signature: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(signature)) == signature


def _summary(root: Any) -> str:
    if is_numbers(root):
        return f"an array of shape {list(root.shape)}"
    if isinstance(root, dict):
        return f"a dict of {', '.join(brief(key) for key in list(root)[:5])}"
    return f"a {type(root).__name__}"


# --- arrays of rows --------------------------------------------------------------------------------------------------


def _is_rows(root: Any) -> bool:
    return is_numbers(root) and root.ndim in (2, 3)


def _rows(root: Any) -> dict[str, Any]:
    return {"rows": tensor(root, "codes")}


# --- ReStyle and HyperStyle: file name -> the arrays of its passes, or one array -------------------------------------


def _is_by_name(root: Any) -> bool:
    return (
        isinstance(root, dict)
        and bool(root)
        and all(isinstance(name, str) for name in root)
        and all(
            _is_one_code(value) or (isinstance(value, list) and value and all(map(_is_one_code, value)))
            for value in root.values()
        )
    )


def _is_one_code(value: Any) -> bool:
    return is_numbers(value) and value.ndim in (1, 2)


def _by_name(root: Any) -> dict[str, Any]:
    # The last pass is the result.
    last = {name: value[-1] if isinstance(value, list) else value for name, value in root.items()}
    return {"names": list(last), "rows": _stacked([tensor(value, name) for name, value in last.items()], list(last))}


def _stacked(codes: list[Tensor], names: list[str]) -> Tensor:
    for code, name in zip(codes, names, strict=True):
        if code.shape != codes[0].shape:
            raise TableError(f"{name}: a code of shape {list(code.shape)} beside one of {list(codes[0].shape)}")
    return torch.stack(codes)


# --- rosinality's projector: path -> img, latent, noise --------------------------------------------------------------


def _is_projected(root: Any) -> bool:
    return (
        isinstance(root, dict)
        and bool(root)
        and all(
            isinstance(name, str) and isinstance(value, dict) and _is_one_code(value.get("latent"))
            for name, value in root.items()
        )
    )


def _projected(root: Any) -> dict[str, Any]:
    names, entries = list(root), list(root.values())
    rows = _stacked([tensor(entry["latent"], name) for name, entry in root.items()], names)
    maps = [entry.get("noise") or [] for entry in entries]
    if any(not isinstance(noise, list) or len(noise) != len(maps[0]) for noise in maps):
        raise TableError("the images have different numbers of noise maps")
    noise = [_noise_map([image[i] for image in maps], names) for i in range(len(maps[0]))]
    return {"names": names, "rows": rows, "noise": noise}


def _noise_map(maps: list[Any], names: list[str]) -> Tensor:
    stacked = _stacked([tensor(one, f"{name}: noise") for one, name in zip(maps, names, strict=True)], names)
    if stacked.ndim < 3 or stacked.shape[-1] != stacked.shape[-2] or stacked[0].numel() != stacked.shape[-1] ** 2:
        raise TableError(f"a noise map of shape {list(stacked.shape[1:])}; wanted [1, 1, h, h]")
    return stacked.reshape(len(maps), 1, *stacked.shape[-2:])


# --- StyleCLIP's codes in S: a list of one tensor per style slot -----------------------------------------------------


def _is_styles(root: Any) -> bool:
    return (
        isinstance(root, list)
        and len(root) > 1
        and all(
            is_numbers(value) and value.ndim == 5 and value.shape[1] == value.shape[3] == value.shape[4] == 1
            for value in root
        )
    )


def _styles(root: Any) -> dict[str, Any]:
    slots = [tensor(value, f"style {i}").flatten(1) for i, value in enumerate(root)]
    if len({len(slot) for slot in slots}) != 1:
        raise TableError("the styles are of different numbers of images")
    return {"styles": slots}


CODE_FILES: dict[str, CodeFile] = {
    "rosinality": CodeFile("rosinality's projector (path: img, latent, noise)", _is_projected, _projected),
    "restyle": CodeFile("ReStyle and HyperStyle (file name: array, or a list of arrays)", _is_by_name, _by_name),
    "styleclip_s": CodeFile("StyleCLIP in S (a list of styles)", _is_styles, _styles),
    "rows": CodeFile(
        "e4e, pSp, PTI, StyleCLIP, StyleGAN2-ADA's projector (an array [images, rows, 512] or [images, 512])",
        _is_rows,
        _rows,
    ),
}


# --- BDInvert: a folder of two files per image -----------------------------------------------------------------------


def _read_bdinvert(folder: Path) -> ForeignCodes:
    details, bases = folder / "invert_detailcode", folder / "invert_basecode"
    if not (details.is_dir() and bases.is_dir()):
        raise InputError(f"{folder}: wanted BDInvert's folders invert_detailcode and invert_basecode in it")
    names = sorted(path.stem for path in details.glob("*.npy"))
    if not names or sorted(path.stem for path in bases.glob("*.npy")) != names:
        raise InputError(f"{folder}: wanted a file of each name in both folders, got {len(names)} detail codes")
    rows, features = [], []
    for name in names:
        rows.append(_one(details / f"{name}.npy", 3))
        features.append(_one(bases / f"{name}.npy", 4))
    return ForeignCodes(
        kind="bdinvert",
        names=[f"{name}.npy" for name in names],
        rows=_stacked(rows, names),
        feature=_stacked(features, names),
    )


def _one(path: Path, dims: int) -> Tensor:
    root = unwrapped(read_file(path).root)
    if not is_numbers(root) or root.ndim != dims or len(root) != 1:
        raise TableError(f"{path}: wanted one code of {dims} dimensions, got {_summary(root)}")
    return tensor(root, str(path))[0]
