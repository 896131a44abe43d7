"""SSIM against scikit-image inside, a closed form for constants, and the border rule by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from ganvert.base.errors import ShapeError
from ganvert.scoring.metrics.ssim import C1, ssim, ssim_map


def pair(seed: int = 0, size: tuple[int, int] = (32, 40)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(2, 3, *size, generator=generator) * 2 - 1
    return (target + 0.3 * torch.randn(2, 3, *size, generator=generator)).clamp(-1, 1), target


def theirs(x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """scikit-image's SSIM map of one plane, on the 8-bit scale."""
    planes = ((plane.double() * 127.5 + 127.5).numpy() for plane in (x, y))
    return structural_similarity(
        *planes, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )[1]


def test_interior_is_that_of_scikit_image() -> None:
    images, targets = pair()
    got = ssim_map(images, targets)
    for i in range(2):
        for c in range(3):
            want = theirs(images[i, c], targets[i, c])[5:-5, 5:-5]
            assert got[i, c, 5:-5, 5:-5].numpy() == pytest.approx(want, abs=1e-9)


def test_border_reflects_without_repeating_the_edge() -> None:
    images, targets = pair()
    padded = (torch.nn.functional.pad(x, (5, 5, 5, 5), mode="reflect") for x in (images, targets))
    assert ssim_map(images, targets).numpy() == pytest.approx(ssim_map(*padded)[..., 5:-5, 5:-5].numpy(), abs=1e-12)


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
