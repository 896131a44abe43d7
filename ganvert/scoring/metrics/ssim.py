"""Structural similarity in its Gaussian form (Wang et al. 2004), by scikit-image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganvert.base.errors import ShapeError

__all__ = ["ssim"]

# Wang et al.'s window. Other libraries' defaults differ: scikit-image's is a uniform one of 7 x 7.
SIGMA = 1.5  # of the Gaussian window; scikit-image cuts it off at 3.5 sigma, so it is 11 x 11
RADIUS = 5


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean SSIM over pixels and channels.

    Window 11x11 Gaussian of sigma 1.5, population moments, constants (0.01 * 255)^2 and (0.03 * 255)^2, border
    reflect-101: as OpenCV's QualitySSIM computes it.

    Args:
        images: [N, C, h, w] in [-1, 1].
        targets: likewise.

    Returns:
        float64 [N], at most 1.

    Raises:
        ShapeError: a side is not longer than the window's radius.
    """
    if min(images.shape[2:]) <= RADIUS:
        raise ShapeError(f"ssim: wanted pictures of at least {RADIUS + 1} px a side, got {list(images.shape)}")
    # One at a time: the float64 maps of a batch at 1024 px would take gigabytes.
    values = [_ssim_of_pair(x, y) for x, y in zip(images, targets, strict=True)]
    return torch.tensor(values, dtype=torch.float64, device=images.device)


def _ssim_of_pair(image: Tensor, target: Tensor) -> float:
    from skimage.metrics import structural_similarity

    # scikit-image averages over the windows that lie inside the picture. Mirrored by the radius, these are all pixels.
    border = ((0, 0), (RADIUS, RADIUS), (RADIUS, RADIUS))
    # In [0, 255] but not rounded to eight bits.
    planes = ((picture.double() * 127.5 + 127.5).cpu().numpy() for picture in (image, target))
    padded = (np.pad(picture, border, mode="reflect") for picture in planes)
    return float(
        structural_similarity(
            *padded, channel_axis=0, data_range=255, gaussian_weights=True, sigma=SIGMA, use_sample_covariance=False
        )
    )
