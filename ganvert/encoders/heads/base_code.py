"""The tail of BDInvert's base-code encoder (Kang et al. 2021, arXiv 2108.08998)."""

from __future__ import annotations

from torch import Tensor, nn

from ganvert.encoders.backbones.plain import conv_bn, initialise
from ganvert.encoders.heads.base import Head, Prediction
from ganvert.encoders.heads.taps import nearest, resized
from ganvert.generators.base import Generator
from ganvert.spaces.feature import point_of_size

__all__ = ["BaseCodeHead"]


class BaseCodeHead(Head):
    """Convolution, BN, leaky ReLU, and a bare convolution to the feature; reads the backbone ``plain``.

    The last convolution has neither BN nor an activation: the generator's activations are of either sign and any size.
    """

    def __init__(self, generator: Generator, taps: dict[int, int], *, size: int = 16, width: int = 0) -> None:
        """Build it for a feature of `size` px; `width`: hidden channels, 0 for the tap's (as in the paper).

        Raises:
            UnsupportedError: the generator has no feature of that size.
        """
        super().__init__(generator, taps)
        # The backbone divides by 8: a 16 px code needs an input of 128 px, an 8 px code one of 64 px.
        self.size, self.side = size, nearest(taps, size)
        width = width or taps[self.side]
        last = nn.Conv2d(width, point_of_size(generator, size).shape[0], 3, padding=1)
        initialise(last)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.layers = nn.Sequential(conv_bn(taps[self.side], width), last)

    @property
    def parts(self) -> tuple[str, ...]:
        return (f"f{self.size}",)

    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        return {f"f{self.size}": self.layers(resized(taps[self.side], self.size))}
