"""ReStyle's head (Alaluf et al. 2021, arXiv 2104.02699): all rows read the coarsest map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganvert.encoders.heads.base import Head, Prediction
from ganvert.encoders.heads.style_block import StyleBlock
from ganvert.generators.base import Generator

__all__ = ["LastHead"]


class LastHead(Head):
    """One block per row on the coarsest tap; for a backbone without a pyramid.

    ReStyle drops pSp's pyramid: several passes correct what one of the coarsest map misses, at lower cost.
    """

    def __init__(self, generator: Generator, taps: dict[int, int], *, width: int = 512) -> None:
        """Build it with blocks of `width` hidden channels."""
        super().__init__(generator, taps)
        # 16 px of an IR-50 at 256 px.
        self.side = min(taps)
        self.blocks = nn.ModuleList(
            StyleBlock(taps[self.side], self.side, width, generator.w_dim) for _ in range(generator.num_ws)
        )

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        return {"ws": torch.stack([block(taps[self.side]) for block in self.blocks], dim=1)}
