"""ResNet-IR: with squeeze-excitation that of pSp, e4e, ReStyle and PadInv (its Table S1), or ArcFace's own."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor, nn

from ganvert.base.errors import ParamsError
from ganvert.encoders.backbones.base import Backbone
from ganvert.encoders.backbones.units import ArcFaceUnit, BasicUnit, IRUnit

__all__ = ["IR18", "IR50", "IResNet50", "ResNetIR"]


class ResNetIR(Backbone):
    """A convolution at full size, then four stages, each of which begins with a unit of stride 2.

    Weights start at random; the papers start from ArcFace (faces) or ImageNet.
    """

    stem_width: ClassVar[int]
    #: (number of units, channels) of each stage.
    stage_sizes: ClassVar[tuple[tuple[int, int], ...]]
    unit: ClassVar[type[IRUnit | ArcFaceUnit | BasicUnit]] = IRUnit
    #: Stride of each stage's first unit.
    strides: ClassVar[tuple[int, ...]] = (2, 2, 2, 2)
    #: Side of the first convolution. The larger one halves; the other does not, as it was made for faces of 112 px,
    #: which have no pixels to lose so early.
    stem_kernel: ClassVar[Literal[3, 7]] = 3
    #: How many of the last stages are tapped.
    tapped: ClassVar[int] = 3

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        super().__init__(channels=channels, px=px, folder=folder)
        kernel, stride = self.stem_kernel, 1 if self.stem_kernel == 3 else 2
        self.stem = nn.Sequential(
            nn.Conv2d(channels, self.stem_width, kernel, stride=stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(self.stem_width),
            nn.PReLU(self.stem_width),
        )
        self.stages = nn.ModuleList()
        c_in, side, taps = self.stem_width, -(-px // stride), []
        for (count, c), first in zip(self.stage_sizes, self.strides, strict=True):
            self.stages.append(
                nn.Sequential(*(self.unit(c if i else c_in, c, 1 if i else first) for i in range(count)))
            )
            c_in, side = c, -(-side // first)  # a convolution of stride 2 rounds odd sides up
            taps.append((side, c))
        if px < 2 ** len(taps):
            raise ParamsError(f"input_px: {px} px are too few for {len(taps)} halvings")
        self.taps = dict(taps[-self.tapped :])

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x, maps = self.stem(images), {}
        for stage in self.stages:
            x = stage(x)
            maps[x.shape[-1]] = x
        return {side: maps[side] for side in self.taps}


class IR50(ResNetIR):
    """ResNet-IR-50: 256 px give 128 x 64², 256 x 32², 512 x 16²."""

    stem_width = 64
    stage_sizes = ((3, 64), (4, 128), (14, 256), (3, 512))


class IResNet50(IR50):
    """ArcFace's iresnet50, the backbone of FeatureStyleEncoder, with its first stage tapped too: 64 x 128²."""

    unit = ArcFaceUnit
    tapped = 4


class IR18(ResNetIR):
    """Our own, for CPUs: two units a stage, half as wide; 256 px give 64 x 64², 128 x 32², 256 x 16²."""

    stem_width = 32
    stage_sizes = ((2, 32), (2, 64), (2, 128), (2, 256))
