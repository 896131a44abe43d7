"""Winograd's convolution against the direct one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganvert.compute import kernels
from ganvert.compute.random import normal
from ganvert.losses.lpips import load_lpips
from ganvert.networks.winograd import WinogradConv2d

SIZES = [(1, 256, 128, 16, 16), (2, 128, 256, 8, 12), (3, 192, 192, 4, 4)]


def convolution(channels: int, out: int, **more: object) -> nn.Conv2d:
    made = nn.Conv2d(channels, out, 3, **({"padding": 1} | more)).requires_grad_(False)  # type: ignore[arg-type]
    made.weight.copy_(normal([1], made.weight.shape)[0] / (3 * channels**0.5))
    made.bias.copy_(normal([2], made.bias.shape)[0])  # type: ignore[union-attr]
    return made


@pytest.mark.parametrize("size", SIZES)
def test_results_and_gradients(size: tuple[int, ...]) -> None:
    n, channels, out, h, w = size
    plain = convolution(channels, out)
    ours = WinogradConv2d.take(plain)
    assert isinstance(ours, WinogradConv2d)
    x = normal(range(n), (channels, h, w)).requires_grad_()
    exact = F.conv2d(x.double(), plain.weight.double(), plain.bias.double(), padding=1)  # type: ignore[union-attr]
    found = ours(x)
    assert found.shape == exact.shape
    assert float((found - exact).detach().abs().max() / exact.detach().abs().max()) < 3e-5
    wish = normal(range(10, 10 + n), (out, h, w))
    (gradient,) = torch.autograd.grad(found, x, wish)
    (wanted,) = torch.autograd.grad(exact, x, wish.double())
    assert float((gradient - wanted).abs().max() / wanted.abs().max()) < 3e-5


def test_images_do_not_influence_each_other() -> None:
    ours = WinogradConv2d.take(convolution(128, 256))
    x = normal(range(3), (128, 8, 8))
    others = normal([7, 1, 9], (128, 8, 8))
    assert torch.equal(ours(x)[1], ours(others)[1])
    alone = ours(x[1:2])
    assert float((ours(x)[1:2] - alone).abs().max() / alone.abs().max()) < 3e-5  # rounding: sums of other lengths


@pytest.mark.parametrize("other", [{"stride": 2}, {"padding": 0}, {"dilation": 2}, {"groups": 2}, {"bias": False}])
def test_what_it_does_not_fit_stays(other: dict[str, object]) -> None:
    made = nn.Conv2d(256, 256, 3, **({"padding": 1} | other))  # type: ignore[arg-type]
    assert WinogradConv2d.take(made) is made
    few = nn.Conv2d(64, 64, 3, padding=1)
    assert WinogradConv2d.take(few) is few


def test_sides_that_are_no_multiple_of_four_are_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = convolution(256, 256)
    ours = WinogradConv2d.take(plain)
    x = normal([0], (256, 6, 8))
    assert torch.equal(ours(x), plain(x))
    even = normal([0], (256, 8, 8))
    assert not torch.equal(ours(even), plain(even))  # it is the other way that is tested above
    monkeypatch.setattr(kernels, "ENABLED", False)
    assert torch.equal(ours(even), plain(even))


def test_weights_that_move_are_direct() -> None:
    ours = WinogradConv2d.take(convolution(256, 256)).requires_grad_()
    ours(normal([0], (256, 8, 8))).sum().backward()
    assert ours.weight.grad is not None and float(ours.weight.grad.abs().sum()) > 0


def test_lpips_has_them(assets: object) -> None:
    deep = [m for m in load_lpips("vgg", assets, torch.device("cpu")).modules() if isinstance(m, WinogradConv2d)]  # type: ignore[arg-type]
    assert [m.out_channels for m in deep] == [256] * 3 + [512] * 6
