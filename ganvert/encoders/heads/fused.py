"""Rows of W+ from everything that an encoder sees: maps, descriptor and small picture in one hidden layer."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.encoders.heads.base import Head, Prediction, Reads
from ganvert.generators.base import Generator

__all__ = ["FusedHead"]

#: Side that larger maps are averaged to, px.
_SIDE = 8


class FusedHead(Head):
    """A hidden layer that all rows share, and a linear layer per row.

    Where :class:`~ganvert.encoders.heads.compact.CompactHead` has 32 numbers for the differences of the rows, this one
    has the whole hidden layer. Its offsets start at zero, to be added to those of another head.
    """

    reads: ClassVar[Reads] = "all"

    def __init__(
        self, generator: Generator, taps: dict[int, int], *, code: int = 384, narrow: int = 48, drop: float = 0.1
    ) -> None:
        """Build it with `code` hidden numbers, `narrow` channels of every map, and a share `drop` of dropout."""
        super().__init__(generator, taps)
        self.w_dim = generator.w_dim
        self.squeeze = nn.ModuleDict({str(side): nn.Conv2d(c, narrow, 1) for side, c in taps.items() if side > 1})
        inputs = sum(narrow * min(side, _SIDE) ** 2 if side > 1 else c for side, c in taps.items())
        self.drop = nn.Dropout(drop)
        self.code = nn.Linear(inputs, code)
        self.rows = nn.Linear(code, self.num_ws * self.w_dim)
        nn.init.zeros_(self.rows.weight)
        nn.init.zeros_(self.rows.bias)

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        parts = []
        for side, x in taps.items():
            if side > 1:
                x = F.adaptive_avg_pool2d(F.leaky_relu(self.squeeze[str(side)](x), 0.2), min(side, _SIDE))
            parts.append(x.flatten(1))
        x = F.leaky_relu(self.code(self.drop(torch.cat(parts, dim=1))), 0.2)
        return {"ws": self.rows(x).unflatten(1, (self.num_ws, self.w_dim))}
