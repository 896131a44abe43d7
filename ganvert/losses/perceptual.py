"""Distances in the feature space of a frozen backbone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ganvert.losses.base import Loss
from ganvert.losses.lpips import load_lpips

__all__ = ["Image2StyleganPerceptual", "LpipsAlex", "LpipsVgg"]

#: conv1_1, conv1_2, conv3_2, conv4_2 as indices into torchvision's VGG16 `features` (before their ReLU).
_IMAGE2STYLEGAN_TAPS = (0, 2, 12, 19)


class LpipsVgg(Loss[list[Tensor]]):
    """LPIPS v0.1 on VGG16 (Zhang et al. 2018)."""

    net = "vgg"

    def __init__(self, folder: Path | None, device: torch.device) -> None:
        self.lpips = load_lpips(self.net, folder, device)  # type: ignore[arg-type]

    def prepare(self, target: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return self.lpips.features(target)

    def __call__(self, image: Tensor, prepared: list[Tensor]) -> Tensor:
        return self.lpips.distance(self.lpips.features(image), prepared)


class LpipsAlex(LpipsVgg):
    """LPIPS v0.1 on AlexNet."""

    net = "alex"


class Image2StyleganPerceptual(Loss[list[Tensor]]):
    """VGG16 feature distance of Image2StyleGAN (Abdal et al. 2019, eq. 2): sum over 4 layers of mean squared error."""

    def __init__(self, folder: Path | None, device: torch.device) -> None:
        vgg = load_lpips("vgg", folder, device).model
        self.scaling = vgg.scaling_layer
        net = vgg.net
        self.layers = [layer for i in range(1, 6) for layer in getattr(net, f"slice{i}").children()]

    def _taps(self, images: Tensor) -> list[Tensor]:
        x, taps = self.scaling(images), []
        for i, layer in enumerate(self.layers[: _IMAGE2STYLEGAN_TAPS[-1] + 1]):
            # A tapped convolution is followed by an in-place ReLU: keep a copy of what it would overwrite.
            x = layer(x.clone()) if i - 1 in _IMAGE2STYLEGAN_TAPS else layer(x)
            if i in _IMAGE2STYLEGAN_TAPS:
                taps.append(x)
        return taps

    def prepare(self, target: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return self._taps(target)

    def __call__(self, image: Tensor, prepared: list[Tensor]) -> Tensor:
        taps = self._taps(image)
        layers = [(x - y).square().mean(dim=(1, 2, 3)) for x, y in zip(taps, prepared, strict=True)]
        return torch.stack(layers).sum(dim=0)
