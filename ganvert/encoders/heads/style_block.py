"""pSp's Map2Style (GradualStyleBlock), which predicts one row of W+ from a feature map, and the map of each row."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ganvert.networks.mapping import Dense

__all__ = ["COARSE", "MIDDLE", "StyleBlock", "side_of_rows"]

#: Number of coarse rows, which read the coarsest map, and of middle rows, which read the next finer one. All others are
#: fine and read the third: 3, 4 and 11 of 18 rows at 1024 px (pSp, section 3; PadInv, Table S1).
COARSE, MIDDLE = 3, 4


def side_of_rows(sides: Iterable[int], num_ws: int) -> list[int]:
    """Return the side of the map that each row reads: one of the three coarsest, or the finest if there are fewer."""
    levels = sorted(sides)[:3]
    return [levels[min((row >= COARSE) + (row >= COARSE + MIDDLE), len(levels) - 1)] for row in range(num_ws)]


class StyleBlock(nn.Module):
    """Convolutions of stride 2 with leaky ReLU 0.01 down to one pixel, then a linear layer of equalised rate."""

    def __init__(self, channels: int, side: int, width: int, outputs: int) -> None:
        """Build it for `channels` at `side` px, with `width` hidden channels and `outputs` numbers."""
        super().__init__()
        layers: list[nn.Module] = []
        # 16 px take four convolutions, 32 px five, 64 px six.
        for _ in range((side - 1).bit_length()):  # log2, rounded up where the side is not a power of two
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.LeakyReLU(0.01)]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.linear = Dense(channels, outputs)
        nn.init.normal_(self.linear.weight)  # the equalised rate scales by 1 / sqrt(channels) when it is used

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, channels, side, side] to [N, outputs]."""
        return self.linear(torch.flatten(self.layers(x), 1))
