"""The trunk of the face parsing network as a backbone: a ResNet-18 trained on 30,000 photographs of faces."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from ganvert.base.errors import ParamsError
from ganvert.encoders.backbones.base import Backbone
from ganvert.faces.parsing import load_parser, normalised
from ganvert.networks.resnet import ResNet18

__all__ = ["Parsing", "ParsingFrozen"]

_STRIDE = 32  # px of the image for one pixel of the coarsest map


class _ParsingTaps(Backbone):
    """Feature maps at an eighth, a sixteenth and a thirty-second of the side; 256 px give 32, 16 and 8 px."""

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        super().__init__(channels=channels, px=px, folder=folder)
        if px % _STRIDE:
            raise ParamsError(f"backbone parsing: input_px: wanted a multiple of {_STRIDE}, got {px}")
        images = channels // 3
        self.taps = {px // 8: 128 * images, px // 16: 256 * images, px // _STRIDE: 512 * images}

    def _maps(self, trunk: ResNet18, images: Tensor) -> dict[int, Tensor]:
        """Run the trunk on every image of the stack, and join their maps along the channels."""
        parts = [trunk(normalised((part + 1) / 2)) for part in images.split(3, dim=1)]
        return dict(zip(self.taps, map(torch.cat, zip(*parts, strict=True), [1] * len(self.taps)), strict=True))


class ParsingFrozen(_ParsingTaps):
    """The trunk as it is: its features are computed once per image, so that heads train in minutes on a CPU."""

    frozen = True

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        super().__init__(channels=channels, px=px, folder=folder)
        self._folder = folder
        load_parser(folder)  # fails here where weights are missing, not at the first image

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        # Outside of the module tree: the trunk is an asset, not part of an encoder's weights. One copy per device.
        return self._maps(_shared_trunk(self._folder, images.device), images)


class Parsing(_ParsingTaps):
    """The trunk fine-tuned along with the heads; it may start from heads that were trained on the frozen one.

    The batch norms keep their statistics: batches of a few images would spoil them, and processes of a distributed
    training would disagree.
    """

    frozen_as: ClassVar[str] = "parsing_frozen"

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        super().__init__(channels=channels, px=px, folder=folder)
        self.trunk = copy.deepcopy(load_parser(folder).network.trunk).requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.trunk.modules():
            # Of several processes they are nn.SyncBatchNorm, which shares only this ancestor.
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        return self._maps(self.trunk, images)


@cache
def _shared_trunk(folder: Path | None, device: torch.device) -> ResNet18:
    return copy.deepcopy(load_parser(folder).network.trunk).to(device)
