"""The residual encoder of IDInvert (Zhu et al. 2020, arXiv 2004.00049), which halves an image down to 4 px."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base.errors import ParamsError
from ganvert.encoders.backbones.base import Backbone

__all__ = ["Residual"]


def _conv(c_in: int, c_out: int, kernel: int, *, active: bool = True) -> nn.Sequential:
    """Return a convolution of gain 1, leaky ReLU 0.2 if `active`, and BN, in the order of the TensorFlow release."""
    conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=active)
    nn.init.normal_(conv.weight, std=1 / math.sqrt(c_in * kernel**2))
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    # BN after the activation; the PyTorch release has it before.
    return nn.Sequential(conv, *([nn.LeakyReLU(0.2)] if active else []), nn.BatchNorm2d(c_out))


class _Block(nn.Module):
    """Average pool by 2, then two convolutions; the shortcut is a 1x1 convolution where the width changes."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        # Blocks only widen or keep the width, so that this is the input's; the release has the same rule.
        narrow = min(c_in, c_out)
        self.branch = nn.Sequential(_conv(c_in, narrow, 3), _conv(narrow, c_out, 3))
        self.around = nn.Identity() if c_in == c_out else _conv(c_in, c_out, 1, active=False)

    def forward(self, x: Tensor) -> Tensor:
        # Pooled first: branch and shortcut then work on a quarter of the pixels.
        x = F.avg_pool2d(x, 2)
        return self.branch(x) + self.around(x)


class Residual(Backbone):
    """A 5x5 convolution to 64 channels, then a block per halving; widths double up to 512.

    Taps are the last three maps: 16, 8 and 4 px. IDInvert's own head is ``dense``, which reads the last one.
    """

    first: ClassVar[int] = 64
    widest: ClassVar[int] = 512

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        super().__init__(channels=channels, px=px, folder=folder)
        if px < 8 or px & (px - 1):
            raise ParamsError(f"input_px: wanted a power of two from 8 on for this backbone, got {px}")
        self.stem = _conv(channels, self.first, 5)
        self.blocks = nn.ModuleList()
        c_in, side, taps = self.first, px, []
        while side > 4:
            c, side = min(2 * c_in, self.widest), side // 2
            self.blocks.append(_Block(c_in, c))
            taps.append((side, c))
            c_in = c
        self.taps = dict(taps[-3:])

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x, maps = self.stem(images), {}
        for block in self.blocks:
            x = block(x)
            maps[x.shape[-1]] = x
        return {side: maps[side] for side in self.taps}
