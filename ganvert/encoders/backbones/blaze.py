"""The network of MediaPipe's face stylizer that reads photographs: a MobileNetV2 and a feature pyramid.

Sandler et al. 2018 (arXiv 1801.04381) and Jia et al. 2023 (BlazeStyleGAN). Its batch norms were exported in training
mode, with the statistics of the one picture they see: instance norms.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base.errors import ParamsError
from ganvert.encoders.backbones.base import Backbone

__all__ = ["Blaze", "Depthwise", "Separable"]

#: Width, number of units, stride of the first one: of the stages behind the stem.
STAGES = ((48, 2, 2), (64, 3, 2), (128, 4, 2), (192, 3, 1))
STEM = 64, 32
EXPANSION = 6
SLOPE = 0.2


class Depthwise(nn.Conv2d):
    """A depthwise 3x3 convolution without bias; with stride 2, even sides are padded below and on the right only."""

    def __init__(self, channels: int, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation if stride == 1 else 0
        super().__init__(channels, channels, 3, stride, padding, dilation, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.stride[0] == 1 else halving_pad(x))


def halving_pad(x: Tensor) -> Tensor:
    """Pad a map for a 3x3 convolution of stride 2 as TensorFlow does."""
    return F.pad(x, (0, 1, 0, 1)) if x.shape[-1] % 2 == 0 else F.pad(x, (1, 1, 1, 1))


class Separable(nn.Module):
    """Depthwise 3x3, 1x1 with a bias; no activation between them."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise = Depthwise(c_in, stride, dilation)
        self.pointwise = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


def norm(channels: int) -> nn.Module:
    """Return the norm behind every convolution of the MobileNet."""
    return nn.InstanceNorm2d(channels, eps=1e-3, affine=True)


class Unit(nn.Module):
    """MobileNetV2's inverted residual: 1x1 to six times the width, depthwise 3x3, 1x1 back."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        wide = EXPANSION * c_in
        self.layers = nn.Sequential(
            nn.Conv2d(c_in, wide, 1, bias=False),
            norm(wide),
            nn.ReLU6(),
            Depthwise(wide, stride),
            norm(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, c_out, 1, bias=False),
            norm(c_out),
        )
        self.added = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.added else self.layers(x)


class Level(nn.Module):
    """One step of the pyramid: the coarser map, enlarged bilinearly, and the MobileNet's map of the same side."""

    def __init__(self, coarser: int, channels: int) -> None:
        super().__init__()
        self.up = Separable(coarser, channels)
        self.inner = Separable(channels, channels)
        self.lateral = Separable(channels, channels)

    def forward(self, coarser: Tensor, own: Tensor) -> Tensor:
        x = F.interpolate(coarser, size=own.shape[-2:], mode="bilinear", align_corners=False)
        x = self.inner(F.leaky_relu(self.up(x), SLOPE))
        return F.leaky_relu(x + self.lateral(own), SLOPE)


class Blaze(Backbone):
    """256 px give 32 x 128², 48 x 64², 64 x 32², 192 x 16²."""

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        super().__init__(channels=channels, px=px, folder=folder)
        if px < 32:
            raise ParamsError(f"input_px: {px} px are too few for four halvings")
        first, width = STEM
        self.first = nn.Conv2d(channels, first, 3, 2, bias=False)
        self.stem = nn.Sequential(
            norm(first),
            nn.ReLU6(),
            Depthwise(first),
            norm(first),
            nn.ReLU6(),
            nn.Conv2d(first, width, 1, bias=False),
            norm(width),
        )
        self.stages = nn.ModuleList()
        widths = [width]
        for c, count, stride in STAGES:
            units = [Unit(widths[-1], c, stride), *(Unit(c, c, 1) for _ in range(count - 1))]
            self.stages.append(nn.Sequential(*units))
            widths.append(c)
        top = widths[-1]
        self.context = nn.ModuleList(Separable(top, top, dilation=dilation) for dilation in (4, 2, 1))
        self.join = Separable(3 * top, top)
        fine = widths[2::-1]  # of 32, 64 and 128 px; 128 channels at 16 px are not read
        self.levels = nn.ModuleList(Level(a, b) for a, b in zip([top, *fine[:-1]], fine, strict=True))
        sides = [-(-px // 2**i) for i in range(1, 5)]
        self.taps = dict(zip(sides, [*fine[::-1], top], strict=True))

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x = self.stem(self.first(halving_pad(images)))
        maps = [x]
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        context = [F.leaky_relu(part(x), SLOPE) for part in self.context]
        x = F.leaky_relu(self.join(torch.cat(context, dim=1)) + x, SLOPE)
        pyramid = [x]
        for level, own in zip(self.levels, maps[2::-1], strict=True):
            pyramid.append(level(pyramid[-1], own))
        return dict(zip(self.taps, pyramid[::-1], strict=True))
