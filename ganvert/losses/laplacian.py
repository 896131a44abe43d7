"""The distance of Laplacian pyramids (Burt and Adelson 1983): how far off a picture is, scale by scale."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.losses.pixel import Mse

__all__ = ["LEVELS", "Laplacian", "laplacian_pyramid"]

LEVELS = 5
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def laplacian_pyramid(images: Tensor, levels: int = LEVELS) -> list[Tensor]:
    """[N, C, h, w] to its bands, finest first; the last one is the low-pass residual.

    Level j + 1 is level j blurred ([1, 4, 6, 4, 1] / 16 along x and y, borders reflected) at every second pixel. A
    band is what is lost on the way there and back, so that adding up the enlarged bands gives the picture again. A
    level under 5 px, the length of the filter, is not halved: small pictures have fewer bands (5 from 33 px on).
    """
    bands: list[Tensor] = []
    while len(bands) < levels - 1 and min(images.shape[2:]) >= len(_BINOMIAL):
        smaller = _blur(images, stride=2)
        bands.append(images - _enlarge(smaller, images))
        images = smaller
    return [*bands, images]


def _enlarge(images: Tensor, like: Tensor) -> Tensor:
    """[N, C, ceil(h / 2), ceil(w / 2)] to [N, C, h, w] as `like`: zeros in between, blurred, times four."""
    spread = torch.zeros_like(like)
    spread[:, :, ::2, ::2] = images
    return 4 * _blur(spread)


def _blur(images: Tensor, stride: int = 1) -> Tensor:
    row = images.new_tensor(_BINOMIAL)
    kernel = torch.outer(row, row).expand(images.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, stride=stride, groups=images.shape[1])


class Laplacian(Mse):
    """Weighted mean over the bands of the mean absolute difference; band j (0 the finest) weighs 4^-j.

    For near-perfect GAN inversion (arXiv 2202.11833); depth, filter and weights are ours.
    """

    def __call__(self, image: Tensor, prepared: Tensor) -> Tensor:
        bands = laplacian_pyramid(image - prepared)  # linear: the pyramid of a difference is that of both, subtracted
        weights = image.new_tensor([4.0**-j for j in range(len(bands))])
        return torch.stack([band.abs().mean(dim=(1, 2, 3)) for band in bands], dim=1) @ (weights / weights.sum())
