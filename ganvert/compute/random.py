"""Standard normal numbers that belong to items: the same in every batch and on every device."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["normal"]


def normal(seeds: Sequence[int], shape: Sequence[int]) -> torch.Tensor:
    """Draw standard normal numbers, with one random generator per item.

    They are drawn on the CPU, whose generator gives the same numbers on every machine.

    Args:
        seeds: one seed per item, N of them.
        shape: shape of one item.

    Returns:
        float32 CPU tensor [N, *shape]; row i depends on ``seeds[i]`` alone.
    """
    rows = [torch.randn(tuple(shape), generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty((0, *shape))
