"""SSIM against the formulas of Wang et al. (2004) with OpenCV's border, and a closed form for constants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from ganvert.base.errors import ShapeError
from ganvert.scoring.metrics.ssim import ssim

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def pair(seed: int = 0, size: tuple[int, int] = (32, 40)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(2, 3, *size, generator=generator) * 2 - 1
    return (target + 0.3 * torch.randn(2, 3, *size, generator=generator)).clamp(-1, 1), target


def by_the_formulas(image: torch.Tensor, target: torch.Tensor) -> float:
    """Mean SSIM of two planes on the 8-bit scale; scipy's border "mirror" is reflect-101."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    x, y = ((plane.double() * 127.5 + 127.5).numpy() for plane in (image, target))
    mean_x, mean_y, xx, yy, xy = (correlate(p, window, mode="mirror") for p in (x, y, x * x, y * y, x * y))
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * (xy - mean_x * mean_y) + C2) / (xx - mean_x**2 + yy - mean_y**2 + C2)
    return float((luminance * structure).mean())


@pytest.mark.parametrize("size", [(32, 40), (6, 17)])
def test_agrees_with_the_formulas_up_to_the_border(size: tuple[int, int]) -> None:
    images, targets = pair(size=size)
    want = [np.mean([by_the_formulas(images[i, c], targets[i, c]) for c in range(3)]) for i in range(2)]
    assert ssim(images, targets).tolist() == pytest.approx(want, abs=1e-12)


def test_constants_have_a_closed_form() -> None:
    # No variance: what is left is (2 a b + C1) / (a^2 + b^2 + C1) on the 8-bit scale.
    images, targets = torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), -0.25)
    a, b = 0.5 * 127.5 + 127.5, -0.25 * 127.5 + 127.5
    assert ssim(images, targets).item() == pytest.approx((2 * a * b + C1) / (a * a + b * b + C1), abs=1e-9)


def test_equal_is_one_and_worse_is_less() -> None:
    images, targets = pair()
    assert ssim(targets, targets).tolist() == pytest.approx([1, 1], abs=1e-12)
    little, much = ssim(0.9 * targets + 0.1 * images, targets), ssim(images, targets)
    assert (much < little).all() and (little < 1).all()
    assert ssim(images, targets).tolist() == pytest.approx(ssim(targets, images).tolist(), abs=1e-12)


def test_too_small_is_refused_and_nothing_is_nothing() -> None:
    with pytest.raises(ShapeError, match="at least 6 px"):
        ssim(torch.zeros(1, 3, 5, 9), torch.zeros(1, 3, 5, 9))
    assert ssim(torch.zeros(0, 3, 9, 9), torch.zeros(0, 3, 9, 9)).shape == (0,)
