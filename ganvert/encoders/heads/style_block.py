"""pSp's Map2Style (GradualStyleBlock), which makes one row of W+ of a feature map, and which map each row reads."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ganvert.networks.mapping import Dense

__all__ = ["COARSE", "MIDDLE", "StyleBlock", "side_of_rows"]

#: Rows that read the coarsest map, and the one after it; all others read the third (pSp; Table S1 of PadInv).
COARSE, MIDDLE = 3, 4


def side_of_rows(sides: Iterable[int], num_ws: int) -> list[int]:
    """The side of the map that each row reads, of the three coarsest; where there are fewer, the finest stands in."""
    levels = sorted(sides)[:3]
    return [levels[min((row >= COARSE) + (row >= COARSE + MIDDLE), len(levels) - 1)] for row in range(num_ws)]


class StyleBlock(nn.Module):
    """Convolutions of stride 2 with leaky ReLU 0.01 until one pixel is left, then a linear layer of equalised rate."""

    def __init__(self, channels: int, side: int, width: int, outputs: int) -> None:
        """`channels` at `side` px, `width` channels behind the first convolution, `outputs` numbers."""
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range((side - 1).bit_length()):  # log2, rounded up where a side is no power of two
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.LeakyReLU(0.01)]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.linear = Dense(channels, outputs)
        nn.init.normal_(self.linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, side, side] to [N, outputs]."""
        return self.linear(torch.flatten(self.layers(x), 1))
