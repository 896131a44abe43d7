"""Mean squared error and PSNR of pictures in [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mse", "psnr"]

# Width of the range [-1, 1], so PSNR is that of the same pictures in [0, 1] with a peak of 1. GANInverter computes
# 10 log10(2 / MSE): its figures are 3.01 dB lower.
PEAK = 2.0


def mse(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of squared differences over pixels and channels.

    Of pictures in [0, 1] it would be a quarter of this, in [0, 255] 127.5^2 times this.

    Args:
        images: [N, C, h, w] in [-1, 1].
        targets: likewise.

    Returns:
        float64 [N].
    """
    # float64: a float32 sum over three million numbers differs with the order in which a device adds.
    return (images.double() - targets.double()).square().mean(dim=(1, 2, 3))


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio, 10 log10(4 / MSE) dB; infinite for equal pictures. Else as :func:`mse`."""
    return 10 * torch.log10(PEAK**2 / mse(images, targets))
