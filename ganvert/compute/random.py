"""Standard normal numbers that belong to items: the same whatever batch or device asks for them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["normal"]


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
