"""Padding that is given instead of zeros (PadInv)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["insert_into"]


def insert_into(padding: Tensor, x: Tensor) -> Tensor:
    """`x` [N, c, h, w] with the border of `padding` [N or 1, c, h + 2, w + 2] around it."""
    h, w = x.shape[2:]
    wide = padding.expand(len(x), -1, -1, -1)
    rows = torch.cat([wide[:, :, 1 : h + 1, :1], x, wide[:, :, 1 : h + 1, w + 1 :]], dim=3)
    return torch.cat([wide[:, :, :1], rows, wide[:, :, h + 1 :]], dim=2)
