"""The frozen VGG16 trunk of LPIPS as a backbone.

It is trained on photographs, which generator samples alone cannot replace, and its features can be computed once per
image, so that an hour on a CPU is enough to train heads on it.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.encoders.backbones.base import Backbone
from ganvert.losses.lpips import load_lpips

__all__ = ["VGGBackbone"]

#: RMS of the three taps over 64 samples of the shipped generator: divided by it, they have equal scale.
_RMS = (3.657, 2.766, 0.789)


class VGGBackbone(Backbone):
    """relu3_3 (pooled) and relu4_3 concatenated at px / 8, relu5_3 at px / 16; 128 px give 16 and 8 px."""

    frozen = True
    default_px = 128

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        super().__init__(channels=channels, px=px, folder=folder)
        self._folder = folder
        load_lpips("vgg", folder, torch.device("cpu"))  # fails here where weights are missing, not at the first image
        images = channels // 3
        self.taps = {px // 8: 768 * images, px // 16: 512 * images}

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        # Outside of the module tree: the trunk is an asset, not part of an encoder's weights. One copy per device.
        model = load_lpips("vgg", self._folder, images.device).model
        fine, coarse = [], []
        for part in images.split(3, dim=1):
            taps = model.net.forward(model.scaling_layer(part))
            # taps[2], [3], [4] are relu3_3, relu4_3, relu5_3 of LPIPS; relu3_3 is pooled to the size of relu4_3.
            fine += [F.avg_pool2d(taps[2], 2) / _RMS[0], taps[3] / _RMS[1]]
            coarse += [taps[4] / _RMS[2]]
        return dict(zip(self.taps, (torch.cat(fine, dim=1), torch.cat(coarse, dim=1)), strict=True))
