"""The distance of Laplacian pyramids (Burt and Adelson 1983): the error of an image, scale by scale."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.losses.pixel import Mse

__all__ = ["LEVELS", "Laplacian", "laplacian_pyramid"]

#: Bands of the pyramid, the low-pass residual included. The sources are silent; 5 is our choice.
LEVELS = 5
#: The generating kernel of Burt and Adelson with a = 3/8, along each axis.
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def laplacian_pyramid(images: Tensor, levels: int = LEVELS) -> list[Tensor]:
    """Split images into their bands, finest first; the last one is the low-pass residual.

    Level j + 1 is level j blurred ([1, 4, 6, 4, 1] / 16 along x and y, borders reflected) at every second pixel. A
    band is the difference of a level and the enlarged next one, so that adding up the enlarged bands gives the image
    again. A level under 5 px, the length of the filter, is not halved: small images have fewer bands (5 from 33 px on).

    Args:
        images: [N, C, h, w].
        levels: bands at most.

    Returns:
        [N, C, h, w], [N, C, ceil(h / 2), ceil(w / 2)], ...
    """
    bands: list[Tensor] = []
    while len(bands) < levels - 1 and min(images.shape[2:]) >= len(_BINOMIAL):
        smaller = _blur(images, stride=2)
        bands.append(images - _enlarge(smaller, images))
        images = smaller
    return [*bands, images]


def _enlarge(images: Tensor, like: Tensor) -> Tensor:
    """Enlarge [N, C, ceil(h / 2), ceil(w / 2)] to the shape of `like`, [N, C, h, w]: zeros in between, then the blur.

    Three of four pixels are zeros, hence the gain of four.
    """
    spread = torch.zeros_like(like)
    spread[:, :, ::2, ::2] = images
    return 4 * _blur(spread)


def _blur(images: Tensor, stride: int = 1) -> Tensor:
    row = images.new_tensor(_BINOMIAL)
    kernel = torch.outer(row, row).expand(images.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, stride=stride, groups=images.shape[1])


class Laplacian(Mse):
    """Weighted mean over the bands of the mean absolute difference; band j (0 the finest) weighs 4^-j.

    The reconstruction loss of near-perfect GAN inversion (Feng et al. 2022, arXiv 2202.11833), chosen there because
    most losses ignore high frequencies. Depth, filter and weights are not published; these are our choice.
    """

    def __call__(self, image: Tensor, prepared: Tensor) -> Tensor:
        bands = laplacian_pyramid(image - prepared)  # linear: the pyramid of a difference is that of both, subtracted
        # Band j has 4^-j as many numbers as the finest. The mean of a band times 4^-j is therefore its sum, over one
        # and the same number for all bands: every coefficient of the pyramid counts the same.
        weights = image.new_tensor([4.0**-j for j in range(len(bands))])
        return torch.stack([band.abs().mean(dim=(1, 2, 3)) for band in bands], dim=1) @ (weights / weights.sum())
