"""MobileFaceNet (Chen et al. 2018, arXiv 1804.07573), trained as ArcFace is: the judge of identity.

It is in no loss and in no training, so that what was optimised is not what is measured.
"""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.faces.weights import load_in_order
from ganvert.networks.blank import Blank

__all__ = ["MOBILEFACENET_FILE", "MobileFaceNet"]

MOBILEFACENET_FILE = "mobilefacenet.safetensors"
#: Width inside, width of the result and stride of the blocks.
_BLOCKS = (
    *((128, 64, 2), *((128, 64, 1),) * 4),
    *((256, 128, 2), *((256, 128, 1),) * 6),
    *((512, 128, 2), *((256, 128, 1),) * 2),
)


class Conv(nn.Sequential):
    """A convolution, padded as TensorFlow does (at stride 2 at the right and at the bottom only), and a PReLU."""

    def __init__(
        self, inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        before, after = (size - stride) // 2, (size - stride + 1) // 2
        super().__init__(
            nn.ZeroPad2d((before, after, before, after)) if after else nn.Identity(),
            nn.Conv2d(inputs, outputs, size, stride, groups=groups),
            nn.Identity() if linear else nn.PReLU(outputs),
        )


class Block(nn.Module):
    """An inverted residual: wider, a depthwise convolution, narrower again, plus the input where the shape is kept."""

    def __init__(self, inputs: int, inside: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.skip = stride == 1  # every block of stride 1 keeps the width too
        self.layers = nn.Sequential(
            Conv(inputs, inside), Conv(inside, inside, 3, stride, inside), Conv(inside, outputs, linear=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.skip else self.layers(x)


class MobileFaceNet(nn.Module):
    """Descriptors of faces, of unit length: their product is the cosine, higher for the same person.

    Args:
        folder: of the assets.

    Raises:
        AssetError: the weights are missing or damaged.
        CheckpointError: they are of another network.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        with Blank():
            self.first = nn.Sequential(Conv(3, 64, 3, 2), Conv(64, 64, 3, 1, 64), Conv(64, 64, linear=True))
            self.blocks = nn.Sequential()
            width = 64
            for inside, outputs, stride in _BLOCKS:
                self.blocks.append(Block(width, inside, outputs, stride))
                width = outputs
            self.last = nn.Sequential(
                Conv(width, 512),
                nn.Conv2d(512, 512, 7, groups=512),  # weighs the positions (global depthwise convolution)
                nn.Conv2d(512, 512, 1),
                nn.Conv2d(512, 192, 1),
            )
        load_in_order(self, MOBILEFACENET_FILE, folder)
        self.eval().requires_grad_(False)

    def forward(self, chips: Tensor) -> Tensor:
        """Return descriptors [N, 192] of chips [N, 3, 112, 112] in [-1, 1]."""
        # The original divides (RGB - 127.5) by 128.
        return F.normalize(self.last(self.blocks(self.first(chips * (127.5 / 128)))).flatten(1))
