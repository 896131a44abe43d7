"""The frozen VGG16 trunk of LPIPS as a backbone.

It has seen photographs, which generator samples alone cannot teach, and its features can be computed once per picture,
so that an hour on a CPU is enough to train what stands on it.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.encoders.backbones.base import Backbone
from ganvert.losses.lpips import load_lpips

__all__ = ["VGGBackbone"]

#: RMS of the three taps over 64 samples of the shipped generator: divided by it, they weigh the same.
_RMS = (3.657, 2.766, 0.789)


class VGGBackbone(Backbone):
    """relu3_3 (pooled) and relu4_3 side by side at px / 8, relu5_3 at px / 16; 128 px pictures give 16 and 8 px."""

    frozen = True
    default_px = 128

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        super().__init__(channels=channels, px=px, folder=folder)
        self._folder = folder
        load_lpips("vgg", folder, torch.device("cpu"))  # missing weights are an error now, not at the first picture
        pictures = channels // 3
        self.taps = {px // 8: 768 * pictures, px // 16: 512 * pictures}

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        # Kept out of the module tree: the trunk is an asset, not part of an encoder's weights. One copy per device.
        model = load_lpips("vgg", self._folder, images.device).model
        fine, coarse = [], []
        for part in images.split(3, dim=1):
            taps = model.net.forward(model.scaling_layer(part))
            fine += [F.avg_pool2d(taps[2], 2) / _RMS[0], taps[3] / _RMS[1]]
            coarse += [taps[4] / _RMS[2]]
        return dict(zip(self.taps, (torch.cat(fine, dim=1), torch.cat(coarse, dim=1)), strict=True))
