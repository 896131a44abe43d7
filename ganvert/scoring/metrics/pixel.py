"""Mean squared error and PSNR of pictures in [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mse", "psnr"]

PEAK = 2.0  # width of the range [-1, 1]


def mse(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of squared differences over pixels and channels.

    Of pictures in [0, 1] it would be a quarter of this, in [0, 255] 127.5^2 times this.

    Args:
        images: [N, C, h, w] in [-1, 1].
        targets: likewise.

    Returns:
        float64 [N].
    """
    return (images.double() - targets.double()).square().mean(dim=(1, 2, 3))


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio, 10 log10(4 / MSE) dB; infinite for equal pictures. Else as :func:`mse`."""
    return 10 * torch.log10(PEAK**2 / mse(images, targets))
