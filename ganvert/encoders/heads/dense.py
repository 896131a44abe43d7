"""IDInvert's head (Zhu et al. 2020, arXiv 2004.00049): one dense layer on the coarsest map."""

from __future__ import annotations

from torch import Tensor

from ganvert.encoders.heads.base import Head, Prediction
from ganvert.encoders.heads.rows import Rows
from ganvert.generators.base import Generator

__all__ = ["DenseHead"]


class DenseHead(Head):
    """One layer from the flattened coarsest tap (4 px of the backbone ``residual``) to all rows, then BN.

    BN gives every coordinate of the offsets the same spread over a batch; its bias learns their mean.
    """

    def __init__(self, generator: Generator, taps: dict[int, int], *, norm: bool = True, code: int = 0) -> None:
        """`norm` ends in BN; `code` is the width of a bottleneck before the rows, 0 for none (as in the paper)."""
        super().__init__(generator, taps)
        # 4 px of 512 channels to 14 rows of 512: 58.7 million weights, more than the whole backbone.
        self.side = min(taps)
        self.rows = Rows(generator, taps[self.side] * self.side**2, code=code, norm=norm)

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        return {"ws": self.rows(taps[self.side].flatten(1))}
