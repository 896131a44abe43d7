"""The contract of a backbone: an image in, feature maps of several sizes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

__all__ = ["Backbone"]


class Backbone(nn.Module, ABC):
    """Features of an image, or of a photograph and its reconstruction stacked along the channels (6 of them).

    Attributes:
        frozen: none of its weights is trained, so that its features can be computed once per image.
        frozen_as: name of the backbone that has these weights frozen, whose heads this one may start from; or "".
        default_px: side of the input images unless the encoder's options give one.
        px: side of the input images.
        channels: 3, or 6 for two images.
        taps: side [px] of every feature map to its channels, fine to coarse.
    """

    frozen: ClassVar[bool] = False
    frozen_as: ClassVar[str] = ""
    default_px: ClassVar[int] = 256
    taps: dict[int, int]

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        """Keep the sizes; `folder` is the asset folder, for backbones whose weights are an asset."""
        super().__init__()
        del folder
        self.channels, self.px = channels, px

    @abstractmethod
    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Map images [N, channels, px, px] in [-1, 1] to side -> [N, c, side, side]."""
