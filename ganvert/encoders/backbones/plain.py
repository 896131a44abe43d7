"""The convolutions of BDInvert's base-code encoder (Kang et al. 2021, arXiv 2108.08998)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from ganvert.base.errors import ParamsError
from ganvert.encoders.backbones.base import Backbone

__all__ = ["Plain", "PlainNarrow", "conv_bn", "initialise"]


def initialise(conv: nn.Conv2d) -> None:
    """Start a kernel as BDInvert's release does: Kaiming normal, fan out, with the gain of ReLU.

    The release asks for leaky ReLU without its slope, which PyTorch takes for 0: a standard deviation of
    sqrt(2 / (9 outputs)), although the activations have slope 0.2.
    """
    nn.init.kaiming_normal_(conv.weight, a=0.0, mode="fan_out")


def conv_bn(c_in: int, c_out: int) -> nn.Sequential:
    """Return a 3x3 convolution (:func:`initialise`), BN, leaky ReLU 0.2."""
    # No bias: BN subtracts it with the mean, and has its own.
    conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
    initialise(conv)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2))


class Plain(Backbone):
    """Three stages of three convolutions, each followed by an average pool; one tap, at an eighth of the side.

    Fully convolutional, and so the input's size decides the base code's: BDInvert feeds 8 s px for a base code of s px,
    128 px for 16 px and 64 px for 8 px. The head ``base_code`` reads this backbone.
    """

    default_px = 128
    widths: ClassVar[tuple[int, ...]] = (128, 256, 512)

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        super().__init__(channels=channels, px=px, folder=folder)
        if px < 8:
            raise ParamsError(f"input_px: {px} px are too few for three halvings")
        layers: list[nn.Module] = []
        c_in = channels
        for c in self.widths:
            layers += [conv_bn(c_in, c), conv_bn(c, c), conv_bn(c, c), nn.AvgPool2d(2)]
            c_in = c
        self.layers = nn.Sequential(*layers)
        self.taps = {px // 8: c_in}

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        return dict(zip(self.taps, (self.layers(images),), strict=True))


class PlainNarrow(Plain):
    """Our own, for CPUs: a quarter as wide, about a fourteenth of the work."""

    # Work goes with products of widths: a sixteenth, but for the first layer, whose 3 channels stay.
    widths = (32, 64, 128)
