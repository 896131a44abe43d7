"""Rows of W+ from the descriptor of the face: what a backbone that looks for shapes and colours misses."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.encoders.heads.base import Head, Prediction, Reads
from ganvert.generators.base import Generator

__all__ = ["IdentityHead"]


class IdentityHead(Head):
    """A linear map and a hidden layer, both to one code for all rows and a narrow one for their differences.

    It needs ``descriptor: dlib``. Its offsets are added to those of another head of rows, and start at zero.
    """

    reads: ClassVar[Reads] = "descriptor"

    def __init__(self, generator: Generator, taps: dict[int, int], *, code: int = 320, narrow: int = 64) -> None:
        """Build it with `code` hidden numbers and `narrow` for the rows' differences."""
        super().__init__(generator, taps)
        ((self._side, numbers),) = taps.items()
        self.num_ws, self.w_dim = generator.num_ws, generator.w_dim
        self.hidden = nn.Linear(numbers, code)
        self.common = nn.Linear(numbers + code, self.w_dim)
        self.narrow = nn.Linear(numbers + code, narrow)
        self.rows = nn.Linear(narrow, self.num_ws * self.w_dim)
        for layer in (self.common, self.rows):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        x = taps[self._side].flatten(1)
        x = torch.cat([x, F.leaky_relu(self.hidden(x), 0.2)], dim=1)
        rows = self.rows(self.narrow(x)).unflatten(1, (self.num_ws, self.w_dim))
        return {"ws": self.common(x).unsqueeze(1) + rows}
