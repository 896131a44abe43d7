"""pSp's head (Richardson et al. 2021, arXiv 2008.00951), also PadInv's for rows of W+."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganvert.encoders.heads.base import Head, Prediction
from ganvert.encoders.heads.style_block import StyleBlock, side_of_rows
from ganvert.generators.base import Generator

__all__ = ["Map2StyleHead"]


class Map2StyleHead(Head):
    """One block per row: coarse rows 0 to 2 read the coarsest tap, 3 to 6 the next finer one, the others the third."""

    def __init__(self, generator: Generator, taps: dict[int, int], *, width: int = 512) -> None:
        """Build it with blocks of `width` hidden channels."""
        super().__init__(generator, taps)
        self.sides = side_of_rows(taps, generator.num_ws)
        self.blocks = nn.ModuleList(StyleBlock(taps[side], side, width, generator.w_dim) for side in self.sides)

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        rows = [block(taps[side]) for side, block in zip(self.sides, self.blocks, strict=True)]
        return {"ws": torch.stack(rows, dim=1)}
