"""The head of MediaPipe's face stylizer: one w for each third of the rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base.errors import ParamsError
from ganvert.encoders.backbones.blaze import Separable
from ganvert.encoders.heads.base import Head, Prediction
from ganvert.generators.base import Generator

__all__ = ["ThirdsHead"]


class Block(nn.Module):
    """Separable convolutions of stride 2 with leaky ReLU 0.3, then a linear layer with leaky ReLU 0.2."""

    def __init__(self, channels: int, side: int, widths: Sequence[int], outputs: int) -> None:
        """Build it for `channels` at `side` px, with a convolution for each of `widths`."""
        super().__init__()
        self.layers = nn.ModuleList(
            Separable(c_in, c_out, stride=2) for c_in, c_out in zip([channels, *widths[:-1]], widths, strict=True)
        )
        for _ in widths:
            side = -(-side // 2)
        self.linear = nn.Linear(side * side * widths[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.3)
        # TensorFlow's order: channels last.
        return F.leaky_relu(self.linear(x.permute(0, 2, 3, 1).flatten(1)), 0.2)


class ThirdsHead(Head):
    """The first third of the rows reads the coarsest tap, the second the next finer one, the last the finest."""

    def __init__(self, generator: Generator, taps: dict[int, int], *, widths: list[list[int]]) -> None:
        """Build it; `widths` are those of the convolutions of each third.

        Raises:
            ParamsError: they are not three lists of positive widths, or there are not as many rows.
        """
        super().__init__(generator, taps)
        if len(widths) != 3 or not all(part and min(part) > 0 for part in widths) or generator.num_ws < 3:
            raise ParamsError(f"widths: wanted a list of positive widths for each of three thirds, got {widths}")
        sides = sorted(taps)
        self.sides = [sides[0], sides[min(1, len(sides) - 1)], sides[-1]]
        self.blocks = nn.ModuleList(
            Block(taps[side], side, part, generator.w_dim) for side, part in zip(self.sides, widths, strict=True)
        )

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        rows = [block(taps[side]) for side, block in zip(self.sides, self.blocks, strict=True)]
        return {"ws": torch.stack([rows[3 * i // self.num_ws] for i in range(self.num_ws)], dim=1)}
