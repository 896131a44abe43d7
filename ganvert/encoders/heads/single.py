"""The head of encoders into W: e4e's single-code encoder, pSp's last layer into W, HyperStyle's W encoder."""

from __future__ import annotations

from torch import Tensor, nn

from ganvert.encoders.heads.base import Head, Prediction
from ganvert.generators.base import Generator
from ganvert.networks.mapping import Dense

__all__ = ["SingleHead"]


class SingleHead(Head):
    """Means of the coarsest tap's channels, and a linear layer of equalised rate: one w for all rows."""

    def __init__(self, generator: Generator, taps: dict[int, int]) -> None:
        super().__init__(generator, taps)
        self.side = min(taps)
        self.linear = Dense(taps[self.side], generator.w_dim)
        nn.init.normal_(self.linear.weight)  # the equalised rate scales it when it is used

    @property
    def distinct_rows(self) -> int:
        return 1

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        w = self.linear(taps[self.side].mean(dim=(2, 3)))
        return {"ws": w.unsqueeze(1).expand(-1, self.num_ws, -1)}
