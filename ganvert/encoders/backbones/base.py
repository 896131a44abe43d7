"""The backbone contract: a picture in, feature maps at several sizes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

__all__ = ["Backbone"]


class Backbone(nn.Module, ABC):
    """Features of a picture, or of a photograph and the picture drawn so far, one above the other (6 channels).

    Attributes:
        frozen: no weight of it is trained, so that its features can be computed once per picture.
        default_px: side of the pictures it looks at where nothing else is said.
        px: side of the pictures it looks at.
        channels: 3, or 6 for two pictures.
        taps: side [px] of every feature map to its channels, fine to coarse.
    """

    frozen: ClassVar[bool] = False
    default_px: ClassVar[int] = 256
    taps: dict[int, int]

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        """`folder` is the asset folder, for backbones whose weights are an asset."""
        super().__init__()
        del folder
        self.channels, self.px = channels, px

    @abstractmethod
    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Pictures [N, channels, px, px] in [-1, 1] to side -> [N, c, side, side]."""
