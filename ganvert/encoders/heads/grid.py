"""The head of pSp's ablation that predicts all rows from the last layer (BackboneEncoderUsingLastLayerIntoWPlus)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.encoders.heads.base import Head, Prediction
from ganvert.generators.base import Generator
from ganvert.networks.mapping import Dense

__all__ = ["GridHead"]

#: Side of the grid that the coarsest tap is pooled to; ArcFace's own last layer reads 7 px.
SIDE = 7


class GridHead(Head):
    """BN, means over a 7 x 7 grid of the coarsest tap, a linear layer, and one of equalised rate to all rows."""

    def __init__(self, generator: Generator, taps: dict[int, int], *, code: int = 512) -> None:
        """`code` is the number of values between the two layers."""
        super().__init__(generator, taps)
        self.side, self.w_dim = min(taps), generator.w_dim
        self.norm = nn.BatchNorm2d(taps[self.side])
        self.hidden = nn.Linear(taps[self.side] * SIDE**2, code)
        self.linear = Dense(code, generator.num_ws * generator.w_dim)
        nn.init.normal_(self.linear.weight)  # the equalised rate scales it when it is used

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        # There is no activation between the two layers, as in the release.
        code = self.hidden(F.adaptive_avg_pool2d(self.norm(taps[self.side]), SIDE).flatten(1))
        return {"ws": self.linear(code).unflatten(1, (self.num_ws, self.w_dim))}
