"""MSE and PSNR against hand-worked numbers and scikit-image."""

from __future__ import annotations

import math

import pytest
import torch
from skimage import metrics as skimage

from ganvert.scoring.metrics.pixel import mse, psnr


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.rand(2, 3, 3, 20, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return noise[0], noise[1]


def test_hand_worked() -> None:
    flat = torch.zeros(2, 3, 8, 8)
    other = torch.stack([flat[0] + 0.2, flat[1] - 1.0])
    assert mse(other, flat).tolist() == pytest.approx([0.04, 1.0], rel=1e-6)
    assert psnr(other, flat).tolist() == pytest.approx([20.0, 10 * math.log10(4)], rel=1e-6)
    assert mse(flat - 1, flat + 1).tolist() == [4.0, 4.0]
    assert psnr(flat - 1, flat + 1).tolist() == [0.0, 0.0]
    assert psnr(flat, flat).tolist() == [math.inf, math.inf]


def test_agrees_with_scikit_image() -> None:
    a, b = pair()
    for i in range(len(a)):
        x, y = a[i].double().numpy(), b[i].double().numpy()
        assert mse(a, b)[i].item() == pytest.approx(skimage.mean_squared_error(x, y), rel=1e-12)
        assert psnr(a, b)[i].item() == pytest.approx(skimage.peak_signal_noise_ratio(x, y, data_range=2), rel=1e-12)
