"""Our head for a feature map of the generator, on any backbone."""

from __future__ import annotations

from torch import Tensor, nn

from ganvert.encoders.heads.base import Head, Prediction
from ganvert.encoders.heads.taps import nearest, resized
from ganvert.generators.base import Generator
from ganvert.spaces.feature import point_of_size

__all__ = ["FeatureHead"]


class FeatureHead(Head):
    """A 1x1 convolution, then BDInvert's tail without BN; reads the tap whose size is nearest to the feature's."""

    def __init__(self, generator: Generator, taps: dict[int, int], *, size: int = 16, width: int = 512) -> None:
        """Build it for a feature of `size` px (:func:`ganvert.spaces.feature.point_of_size`); `width`: hidden channels.

        Raises:
            UnsupportedError: the generator has no feature of that size.
        """
        super().__init__(generator, taps)
        self.size, self.side = size, nearest(taps, size)
        # The last layer is bare: activations of the generator are of either sign and any size.
        self.layers = nn.Sequential(
            nn.Conv2d(taps[self.side], width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, point_of_size(generator, size).shape[0], 3, padding=1),
        )

    @property
    def parts(self) -> tuple[str, ...]:
        return (f"f{self.size}",)

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        return {f"f{self.size}": self.layers(resized(taps[self.side], self.size))}
