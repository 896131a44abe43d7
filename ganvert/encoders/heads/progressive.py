"""e4e's head (Tov et al. 2021, arXiv 2102.02766, section 4): one w, and offsets of the rows that are learned later."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganvert.base.errors import ParamsError
from ganvert.encoders.heads.base import Head, Prediction
from ganvert.encoders.heads.style_block import StyleBlock, side_of_rows
from ganvert.generators.base import Generator

__all__ = ["ProgressiveHead"]


class ProgressiveHead(Head):
    """Blocks as in ``map2style``; the first row is w, every other one w and its own offset.

    Offsets are switched on one after the other, so that training starts in W. The offset of row i from w is
    ``ws[:, i] - ws[:, 0]`` of the prediction, which is what a penalty acts on.

    Attributes:
        enabled: how many offsets act; kept in weights files.
    """

    enabled: Tensor  # integer

    def __init__(
        self, generator: Generator, taps: dict[int, int], *, width: int = 512, first: int = 20000, every: int = 2000
    ) -> None:
        """The offset of row 1 acts from training step `first` on, then one more `every` so many steps."""
        super().__init__(generator, taps)
        if first < 0 or every < 1:
            raise ParamsError(f"head progressive: wanted first from 0 and every from 1 on, got {first} and {every}")
        self.first, self.every = first, every
        self.sides = side_of_rows(taps, generator.num_ws)
        self.blocks = nn.ModuleList(StyleBlock(taps[side], side, width, generator.w_dim) for side in self.sides)
        self.register_buffer("enabled", torch.zeros((), dtype=torch.long))

    def at_step(self, step: int) -> None:
        wanted = min(1 + (step - self.first) // self.every, len(self.blocks) - 1) if step >= self.first else 0
        # Never fewer than before: training that goes on from a weights file counts its steps from zero.
        self.enabled.clamp_(min=wanted)

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        w = self.blocks[0](taps[self.sides[0]])
        enabled = int(self.enabled)
        rows = [w]
        for i in range(1, len(self.blocks)):
            rows.append(w + self.blocks[i](taps[self.sides[i]]) if i <= enabled else w)
        return {"ws": torch.stack(rows, dim=1)}
