"""Given padding in place of zeros (PadInv, Bai et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["insert_into"]


def insert_into(padding: Tensor, x: Tensor) -> Tensor:
    """Return `x` [N, c, h, w] with the border of `padding` [N or 1, c, h + 2, w + 2] around it.

    Its inner part is ignored. Parts are joined rather than written into a copy, so that gradients reach both.
    """
    h, w = x.shape[2:]
    wide = padding.expand(len(x), -1, -1, -1)
    rows = torch.cat([wide[:, :, 1 : h + 1, :1], x, wide[:, :, 1 : h + 1, w + 1 :]], dim=3)
    return torch.cat([wide[:, :, :1], rows, wide[:, :, h + 1 :]], dim=2)
