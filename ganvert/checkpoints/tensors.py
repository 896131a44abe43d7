"""From what a file holds to tensors of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Content

__all__ = ["take", "visit"]

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def take(content: Content, tensors: Mapping[str, Tensor | np.ndarray], where: str) -> dict[str, Tensor]:
    """float32 copies of a file's tensors, contiguous and apart from the file's memory.

    Args:
        content: the file; a stream can show one storage many times, so its size bounds what is copied.
        tensors: by the names they will have.
        where: what they belong to, for messages.

    Raises:
        CheckpointError: one of them is no tensor of floating-point numbers, or together they are far larger than
            the file.
    """
    for name, value in tensors.items():
        if not _is_floating(value):
            kind = value.dtype if isinstance(value, Tensor | np.ndarray) else type(value).__name__
            raise CheckpointError(f"{where}: {name} is {kind}; wanted a tensor of floating-point numbers")
    count = sum(value.numel() if isinstance(value, Tensor) else value.size for value in tensors.values())
    if count > 4 * content.size:
        raise CheckpointError(f"{where}: {count} numbers out of a file of {content.size} bytes; it repeats them")
    return {name: _copy(value) for name, value in tensors.items()}


def _is_floating(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.dtype in _FLOATS and value.layout == torch.strided
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.dtype.itemsize <= 8


def _copy(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    return torch.from_numpy(np.array(value, dtype=np.float32, order="C"))


def visit(
    root: Any,
    children: Callable[[Any], Iterable[tuple[str, Any]]],
    where: str,
    *,
    joint: str = ".",
    limit: int = 20_000,
    depth: int = 64,
) -> Iterator[tuple[str, Any]]:
    """Full name and value of everything below `root`, a parent before its children.

    A stream can name one object in many places, and inside itself: the number of visits and the depth are bounded.

    Args:
        root: where to begin; it is not among the results.
        children: name and value of what is directly below a value; nothing for a leaf.
        where: what is visited, for messages.
        joint: between the parts of a name.
        limit: on the number of visits.
        depth: on the levels.

    Raises:
        CheckpointError: there is more below `root` than that.
    """
    pending, seen = [(0, "", root)], 0
    while pending:
        level, name, value = pending.pop()
        if level:
            yield name, value
        below = []
        for key, child in children(value):
            seen += 1
            if seen > limit or level >= depth:
                raise CheckpointError(f"{where}: more than {limit} parts or {depth} levels; it repeats itself")
            below.append((level + 1, f"{name}{joint}{key}" if name else key, child))
        pending += reversed(below)
