"""Copies of a file's tensors in our layout, and bounded walks through a file's objects."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Content

__all__ = ["Joined", "check_floats", "drop_ones", "finite", "flip_kernel", "hwio_to_oihw", "take", "transpose", "visit"]

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class Joined:
    """Tensors that follow each other along the first axis of one tensor, which takes no memory of its own."""

    parts: tuple[Tensor, ...]

    @property
    def shape(self) -> torch.Size:
        """Shape of the whole."""
        return torch.Size([sum(len(part) for part in self.parts), *self.parts[0].shape[1:]])

    @property
    def dtype(self) -> torch.dtype:
        """Type of its numbers, which all parts share."""
        return self.parts[0].dtype

    def to(self, dtype: torch.dtype) -> Joined:
        """Return it with numbers of another type."""
        return Joined(tuple(part.to(dtype) for part in self.parts))


def take(content: Content, tensors: Mapping[str, Tensor | np.ndarray], where: str) -> dict[str, Tensor]:
    """Return tensors of a file as contiguous float32 tensors.

    They do not share the file's memory, unless it is kept for them (:attr:`Content.kept`).
    Arguments and errors are those of :func:`check_floats`.
    """
    check_floats(content, tensors, where)
    return {name: _taken(value, content.kept) for name, value in tensors.items()}


def check_floats(content: Content, tensors: Mapping[str, Tensor | np.ndarray], where: str) -> None:
    """Refuse what is no tensor of floating-point numbers, and more numbers than a file of that size can hold.

    Args:
        content: the file. A stream can refer to one storage many times, so its size bounds what is copied.
        tensors: by the names they will have.
        where: what they belong to, for error messages.

    Raises:
        CheckpointError: one of them is not a tensor of floating-point numbers, or together they are far larger than
            the file.
    """
    for name, value in tensors.items():
        if not _is_floating(value):
            kind = value.dtype if isinstance(value, Tensor | np.ndarray) else type(value).__name__
            raise CheckpointError(f"{where}: {name} is {kind}; wanted a tensor of floating-point numbers")
    count = sum(value.numel() if isinstance(value, Tensor) else value.size for value in tensors.values())
    # Numbers take at least two bytes in the file; the rest is leeway for tensors that are used twice.
    if count > 4 * content.size:
        raise CheckpointError(f"{where}: {count} numbers out of a file of {content.size} bytes; it repeats them")


def finite(value: Tensor) -> bool:
    """Return whether all numbers of a tensor are finite in float32."""
    # Piece by piece: isfinite makes a copy of what it is given, and layers of encoders have hundreds of megabytes.
    return all(_all_finite(piece.float()) for piece in value.reshape(-1).split(1 << 20))


def _all_finite(piece: Tensor) -> bool:
    # A sum is one pass and is finite only if all of its terms are; one that overflows says nothing.
    return math.isfinite(float(piece.sum())) or bool(piece.isfinite().all())


def _is_floating(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.dtype in _FLOATS and value.layout == torch.strided
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.dtype.itemsize <= 8


def _taken(value: Tensor | np.ndarray, kept: bool) -> Tensor:
    if isinstance(value, Tensor):
        if kept and value.is_contiguous():
            return value.detach().to(torch.float32)
        return value.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    return torch.from_numpy(np.array(value, dtype=np.float32, order="C"))


def flip_kernel(kernel: Tensor, where: str) -> Tensor:
    """Flip a kernel [O, I, h, w] along both spatial axes, which turns correlation into convolution and back."""
    return _ranked(kernel, 4, where).flip(2, 3)


def hwio_to_oihw(kernel: Tensor, where: str) -> Tensor:
    """Reorder the axes of a TensorFlow kernel [h, w, I, O] to [O, I, h, w]."""
    return _ranked(kernel, 4, where).permute(3, 2, 0, 1)


def transpose(weight: Tensor, where: str) -> Tensor:
    """Transpose a TensorFlow dense weight [in, out], which multiplies from the right, to [out, in]."""
    return _ranked(weight, 2, where).T


def _ranked(value: Tensor, axes: int, where: str) -> Tensor:
    if value.ndim != axes:
        raise CheckpointError(f"{where} has shape {list(value.shape)}, wanted {axes} axes")
    return value


def drop_ones(value: Tensor, axes: int, where: str) -> Tensor:
    """Drop leading axes of size 1 until `axes` are left; a vector may have such axes behind it too.

    Raises:
        CheckpointError: the tensor has too few axes, or other axes to drop.
    """
    kept = value.shape[value.ndim - axes :] if value.ndim >= axes else value.shape
    if axes == 1 and value.numel() == max(value.shape, default=1):
        kept = torch.Size([value.numel()])
    if value.ndim < axes or math.prod(kept) != value.numel():
        raise CheckpointError(f"{where} has shape {list(value.shape)}, wanted {axes} axes")
    return value.reshape(kept)


def visit(
    root: Any,
    children: Callable[[Any], Iterable[tuple[str, Any]]],
    where: str,
    *,
    joint: str = ".",
    limit: int = 20_000,
    depth: int = 64,
) -> Iterator[tuple[str, Any]]:
    """Yield the full name and value of everything below `root`, a parent before its children.

    A stream can refer to one object in many places, even inside itself, so that a small file may describe a tree that
    no memory holds, or an endless one: the number of visits and the depth are bounded.

    Args:
        root: where to begin; it is not yielded itself.
        children: returns names and values directly below a value; nothing for a leaf.
        where: what is visited, for error messages.
        joint: between the parts of a name.
        limit: on the number of visits.
        depth: on the levels.

    Raises:
        CheckpointError: there is more below `root` than that.
    """
    pending, visits = [(0, "", root)], 0
    while pending:
        level, name, value = pending.pop()
        if level:
            yield name, value
        below = []
        for key, child in children(value):
            visits += 1
            if visits > limit or level >= depth:
                raise CheckpointError(f"{where}: more than {limit} parts or {depth} levels; it repeats itself")
            below.append((level + 1, f"{name}{joint}{key}" if name else key, child))
        pending += reversed(below)
