"""Randomness that belongs to items, never to a run, a batch or a device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

__all__ = ["item_seed", "normal"]


def item_seed(*parts: str | int) -> int:
    """A 63-bit seed made of names (dataset, image id, method, ...), the same on every machine.

    >>> item_seed("photo", 1) == item_seed("photo", 1) != item_seed("photo", 2)
    True
    """
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def normal(seeds: Sequence[int], shape: Sequence[int]) -> torch.Tensor:
    """Standard normal numbers, one generator per item.

    Args:
        seeds: one seed per item, N of them.
        shape: shape of one item.

    Returns:
        float32 CPU tensor [N, *shape]; row i depends on ``seeds[i]`` alone.
    """
    rows = [torch.randn(tuple(shape), generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty((0, *shape))
