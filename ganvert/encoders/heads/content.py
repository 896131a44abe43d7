"""The content head of FeatureStyleEncoder (Yao et al. 2022, arXiv 2202.02183)."""

from __future__ import annotations

from torch import Tensor, nn

from ganvert.encoders.heads.base import Head, Prediction
from ganvert.encoders.heads.taps import nearest, resized
from ganvert.generators.base import Generator
from ganvert.spaces.feature import point_of_size

__all__ = ["ContentHead"]


class ContentHead(Head):
    """BN, convolution, BN, PReLU, convolution of stride 2, BN; reads the tap of twice the feature's side."""

    def __init__(self, generator: Generator, taps: dict[int, int], *, size: int = 16, width: int = 512) -> None:
        """Build it for a feature of `size` px; `width`: hidden channels.

        Raises:
            UnsupportedError: the generator has no feature of that size.
        """
        super().__init__(generator, taps)
        # The last convolution halves: for 16 px it is the third stage of an IR-50 at 256 px, 256 channels of 32 px.
        self.size, self.side = size, nearest(taps, 2 * size)
        channels = point_of_size(generator, size).shape[0]
        self.layers = nn.Sequential(
            nn.BatchNorm2d(taps[self.side]),
            nn.Conv2d(taps[self.side], width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
            nn.Conv2d(width, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    @property
    def parts(self) -> tuple[str, ...]:
        return (f"f{self.size}",)

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        return {f"f{self.size}": self.layers(resized(taps[self.side], 2 * self.size))}
