"""Rows of W+ with a few million parameters: one code for all rows, and a narrow one for their differences."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.encoders.heads.base import Head, Prediction
from ganvert.generators.base import Generator

__all__ = ["CompactHead"]


class CompactHead(Head):
    """Our own, sized for a frozen backbone on a CPU; reads the two coarsest taps, one twice as large as the other."""

    def __init__(
        self,
        generator: Generator,
        taps: dict[int, int],
        *,
        width: int = 160,
        code: int = 320,
        narrow: int = 32,
        drop: float = 0.1,
    ) -> None:
        """Build it with `width` channels at 4 px, a code of `code` numbers, and `narrow` for the rows' differences.

        `drop` is the share of features that dropout removes in training.
        """
        super().__init__(generator, taps)
        (self._fine, fine), (self._coarse, coarse) = list(taps.items())[-2:]
        self.num_ws, self.w_dim = generator.num_ws, generator.w_dim
        self.fine = nn.Conv2d(fine, 128, 3, stride=2, padding=1)
        self.coarse = nn.Conv2d(coarse, 96, 1)
        self.mix = nn.Conv2d(224, width, 3, padding=1)
        self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.drop = nn.Dropout(drop)
        self.code = nn.Linear(width * (self._coarse // 2) ** 2, code)
        self.common = nn.Linear(code, self.w_dim)
        self.narrow = nn.Linear(code, narrow)
        self.rows = nn.Linear(narrow, self.num_ws * self.w_dim)
        for layer in (self.fine, self.coarse, self.mix, self.down, self.code, self.narrow):
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        # All offsets start at zero: training starts at w_avg, and the differences of the rows in W.
        for layer in (self.rows, self.common):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        x = torch.cat([self.fine(taps[self._fine]), self.coarse(taps[self._coarse])], dim=1)
        x = F.leaky_relu(self.mix(F.leaky_relu(x, 0.2)), 0.2)
        x = self.drop(F.leaky_relu(self.down(x), 0.2).flatten(1))
        x = F.leaky_relu(self.code(x), 0.2)
        rows = self.rows(self.narrow(x)).unflatten(1, (self.num_ws, self.w_dim))
        return {"ws": self.common(x).unsqueeze(1) + rows}
