"""Which feature map a head reads, and how it gets the size it needs."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

__all__ = ["nearest", "resized"]


def nearest(sides: Iterable[int], size: int) -> int:
    """The side that is `size`, or else the one with the ratio closest to it; the finer of two that are as close."""
    return min(sides, key=lambda side: (abs(math.log2(side / size)), -side))


def resized(x: Tensor, size: int) -> Tensor:
    """Maps [N, c, side, side] as [N, c, size, size]: means of areas where that is smaller, bilinear where larger."""
    side = x.shape[-1]
    if side == size:
        return x
    if side > size:
        return F.adaptive_avg_pool2d(x, size)
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
