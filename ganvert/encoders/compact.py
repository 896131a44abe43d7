"""The compact encoder: the frozen VGG16 trunk of LPIPS, a small pyramid of its features, one W+ head.

The trunk has seen photographs, which generator samples alone cannot teach, and its features can be computed once per
sample, so that hours of CPU are enough to train the head.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.encoders.base import Encoder
from ganvert.generators.base import Generator
from ganvert.images import area_resize
from ganvert.losses.lpips import load_lpips

__all__ = ["CompactEncoder"]

_PX = 128  # what the trunk looks at; features of 8, 16 and 16 px come out


class CompactEncoder(Encoder):
    """2.3 million trained parameters for 16 rows of 512."""

    kind = "compact"
    tap_scale: Tensor  # [3]

    def __init__(self, generator: Generator, folder: Path | None = None) -> None:
        super().__init__(generator)
        # Kept out of the module tree: the trunk is an asset, not part of this encoder's weights.
        self._lpips = [load_lpips("vgg", folder, generator.w_avg.device)]
        self.deep = nn.Conv2d(512, 96, 1)
        self.middle = nn.Conv2d(512, 64, 3, stride=2, padding=1)
        self.shallow = nn.Conv2d(256, 64, 3, stride=2, padding=1)
        self.mix = nn.Conv2d(224, 160, 3, padding=1)
        self.down = nn.Conv2d(160, 160, 3, stride=2, padding=1)
        self.drop = nn.Dropout(0.1)
        self.code = nn.Linear(160 * 16, 320)
        self.common = nn.Linear(320, self.w_dim)
        self.narrow = nn.Linear(320, 32)
        self.rows = nn.Linear(32, self.num_ws * self.w_dim)
        self.register_buffer("tap_scale", torch.ones(3))

    def initialise_(self, seed: int) -> None:
        """Weights from one seed; the per-row offsets start at zero, so that training starts in W."""
        source = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in self.children():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    fan_in = module.weight[0].numel()
                    module.weight.copy_(torch.randn(module.weight.shape, generator=source) * (2 / fan_in) ** 0.5)
                    module.get_parameter("bias").zero_()
            self.common.weight.mul_(0.1)
            self.rows.weight.zero_()

    def calibrate_(self, features: Tensor) -> None:
        """Set the taps' scales so that each of them has unit RMS over `features` [N, ...]."""
        self.tap_scale.copy_(torch.stack([tap.square().mean().rsqrt() for tap in self._split(features.float())]))

    def trunk(self, images: Tensor) -> Tensor:
        """relu3_3 (pooled to 16 px), relu4_3 (16 px) and relu5_3 (8 px), flattened and joined: [N, 229376]."""
        model = self._lpips[0].model
        with torch.no_grad():
            taps = model.net.forward(model.scaling_layer(area_resize(images, _PX)))
        return torch.cat([F.avg_pool2d(taps[2], 2).flatten(1), taps[3].flatten(1), taps[4].flatten(1)], dim=1)

    @staticmethod
    def _split(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shallow, middle, deep = features.split((256 * 256, 512 * 256, 512 * 64), dim=1)
        return shallow.unflatten(1, (256, 16, 16)), middle.unflatten(1, (512, 16, 16)), deep.unflatten(1, (512, 8, 8))

    def head(self, features: Tensor) -> Tensor:
        shallow, middle, deep = self._split(features)
        a, b, c = self.tap_scale
        x = torch.cat([self.shallow(shallow * a), self.middle(middle * b), self.deep(deep * c)], dim=1)
        x = F.leaky_relu(self.mix(F.leaky_relu(x, 0.2)), 0.2)
        x = self.drop(F.leaky_relu(self.down(x), 0.2).flatten(1))
        x = F.leaky_relu(self.code(x), 0.2)
        rows = self.rows(self.narrow(x)).unflatten(1, (self.num_ws, self.w_dim))
        return self.common(x).unsqueeze(1) + rows

    def trained_state(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.state_dict().items() if name != "w_avg"}
