"""The style head of FeatureStyleEncoder (Yao et al. 2022, arXiv 2202.02183)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.encoders.heads.base import Head, Prediction
from ganvert.encoders.heads.rows import Rows
from ganvert.generators.base import Generator

__all__ = ["PooledHead"]

#: Side of the grid that every tap is pooled to, px.
SIDE = 3


class PooledHead(Head):
    """Means of all taps over 3 x 3 areas, and one linear layer per row."""

    def __init__(self, generator: Generator, taps: dict[int, int], *, code: int = 0) -> None:
        """`code` is the width of a bottleneck before the rows, 0 for none (as in the paper)."""
        super().__init__(generator, taps)
        self.rows = Rows(generator, SIDE**2 * sum(taps.values()), code=code)

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        # With the four stages of IR-50: 64 + 128 + 256 + 512 = 960 channels, so 8640 numbers.
        # Adaptive pooling as in the release: its areas overlap by a pixel where 3 does not divide the side.
        means = [F.adaptive_avg_pool2d(x, SIDE).flatten(1) for x in taps.values()]
        return {"ws": self.rows(torch.cat(means, dim=1))}
