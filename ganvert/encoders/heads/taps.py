"""Choosing the feature map that a head reads, and resizing it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from ganvert.images import area_resize

__all__ = ["nearest", "resized"]


def nearest(sides: Iterable[int], size: int) -> int:
    """Return the side whose ratio to `size` is closest to 1; the finer of two that are equally close."""
    # A factor of 2 is as far down as up, hence the logarithm; finer maps lose less, hence the sign.
    return min(sides, key=lambda side: (abs(math.log2(side / size)), -side))


def resized(x: Tensor, size: int) -> Tensor:
    """Return maps [N, c, side, side] as [N, c, size, size]: area means to shrink, bilinear to enlarge."""
    side = x.shape[-1]
    if side == size:
        return x
    if side > size:
        return area_resize(x, size)
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
