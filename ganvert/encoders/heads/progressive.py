"""e4e's head (Tov et al. 2021, arXiv 2102.02766, section 4): one w, and offsets of the rows, enabled one by one.

ReStyle over e4e (Alaluf et al. 2021, arXiv 2104.02699) has the same head on the coarsest map alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganvert.base.errors import ParamsError
from ganvert.encoders.heads.base import Head, Prediction
from ganvert.encoders.heads.style_block import StyleBlock, side_of_rows
from ganvert.generators.base import Generator

__all__ = ["ProgressiveHead"]


class ProgressiveHead(Head):
    """Blocks as in ``map2style``; row 0 is w, every other row w plus its own offset.

    Offsets are enabled one after the other from coarse to fine, so that training starts in W and leaves it slowly
    (e4e, section 4, progressive training: the first at step 20,000, then one every 2,000). Rows that are not enabled
    equal w, and the penalty ``delta`` of ``ws[:, i] - ws[:, 0]`` is zero for them.

    Attributes:
        enabled: number of enabled offsets; saved in weights files.
    """

    enabled: Tensor  # integer

    def __init__(
        self,
        generator: Generator,
        taps: dict[int, int],
        *,
        width: int = 512,
        first: int = 20000,
        every: int = 2000,
        coarsest: bool = False,
    ) -> None:
        """Enable the offset of row 1 from training step `first` on, and one more every `every` steps.

        With `coarsest` all rows read the coarsest map, as in ReStyle; otherwise they read three, as in pSp.
        """
        super().__init__(generator, taps)
        if first < 0 or every < 1:
            raise ParamsError(f"head progressive: wanted first from 0 and every from 1 on, got {first} and {every}")
        self.first, self.every = first, every
        self.sides = side_of_rows([min(taps)] if coarsest else taps, generator.num_ws)
        self.blocks = nn.ModuleList(StyleBlock(taps[side], side, width, generator.w_dim) for side in self.sides)
        self.register_buffer("enabled", torch.zeros((), dtype=torch.long))

    @property
    def distinct_rows(self) -> int:
        return 1 + int(self.enabled)

    def at_step(self, step: int) -> None:
        # By default offset 1 from step 20,000 on, 2 from 22,000, and all 17 of 18 rows from 52,000.
        wanted = min(1 + (step - self.first) // self.every, len(self.blocks) - 1) if step >= self.first else 0
        # Never fewer than before: training that starts from a weights file may count its steps from zero.
        self.enabled.clamp_(min=wanted)

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        w = self.blocks[0](taps[self.sides[0]])
        enabled = int(self.enabled)
        rows = [w]
        for i in range(1, len(self.blocks)):
            # Blocks that are not enabled do not run: they have no gradient, and the optimiser leaves them alone.
            rows.append(w + self.blocks[i](taps[self.sides[i]]) if i <= enabled else w)
        return {"ws": torch.stack(rows, dim=1)}
