"""Structural similarity in its Gaussian form (Wang et al. 2004), as OpenCV's QualitySSIM computes it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.base.errors import ShapeError

__all__ = ["ssim", "ssim_map"]

TAPS, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Mean SSIM over pixels and channels.

    Args:
        images: [N, C, h, w] in [-1, 1].
        targets: likewise.

    Returns:
        float64 [N], at most 1.

    Raises:
        ShapeError: a side is not longer than the window's radius.
    """
    # One at a time: the float64 maps of a batch at 1024 px would take gigabytes.
    values = [ssim_map(x[None], y[None]).mean() for x, y in zip(images, targets, strict=True)]
    return torch.stack(values) if values else images.new_empty(0, dtype=torch.float64)


def ssim_map(images: Tensor, targets: Tensor) -> Tensor:
    """SSIM at every pixel of every channel, float64 [N, C, h, w]; arguments and errors as in :func:`ssim`.

    Window 11x11 Gaussian of sigma 1.5, population moments, constants for the range 255, border reflect-101.
    """
    if min(images.shape[2:]) <= TAPS // 2:
        raise ShapeError(f"ssim: wanted pictures of at least {TAPS // 2 + 1} px a side, got {list(images.shape)}")
    x, y = (pictures.double() * 127.5 + 127.5 for pictures in (images, targets))
    mean_x, mean_y, xx, yy, xy = (_blur(plane) for plane in (x, y, x * x, y * y, x * y))
    variances = (xx - mean_x**2) + (yy - mean_y**2)
    covariance = xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return luminance * (2 * covariance + C2) / (variances + C2)


def _blur(planes: Tensor) -> Tensor:
    radius = TAPS // 2
    offsets = torch.arange(-radius, radius + 1, dtype=planes.dtype, device=planes.device)
    kernel = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    kernel = kernel / kernel.sum()
    n, c, h, w = planes.shape
    padded = F.pad(planes.reshape(n * c, 1, h, w), (radius,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1)).reshape(n, c, h, w)
