"""Losses against the lpips package's own forward, naive loops and stored values."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganvert.losses import LOSSES
from ganvert.losses.lpips import load_lpips
from ganvert.losses.noise import noise_penalty, normalise_noise_
from ganvert.seeds import normal

GOLDEN = Path(__file__).parents[2] / "golden"
CPU = torch.device("cpu")


def synthetic_pair() -> tuple[Tensor, Tensor]:
    spec = importlib.util.spec_from_file_location("regenerate", GOLDEN / "regenerate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.synthetic_pair()


def pictures() -> tuple[Tensor, Tensor]:
    """Three pictures of 64 px and worse and worse copies."""
    x, _ = synthetic_pair()
    targets = torch.cat([x, x.flip(3) * 0.5, x.flip(1)])
    noise = normal(range(3), (3, 64, 64)) * torch.tensor([0.1, 0.2, 0.4]).view(3, 1, 1, 1)
    return (targets + noise).clamp(-1, 1), targets


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_one_value_per_image(name: str, assets: Path) -> None:
    loss = LOSSES[name](assets, CPU)
    images, targets = pictures()
    prepared = loss.prepare(targets)
    together = loss(images, prepared)
    assert together.shape == (3,)
    assert (together > 0).all()
    alone = [loss(i[None], loss.prepare(t[None])).item() for i, t in zip(images, targets, strict=True)]
    assert together.tolist() == pytest.approx(alone, rel=1e-4)
    assert loss(images[1:], loss.prepare(targets[1:])).tolist() == pytest.approx(alone[1:], rel=1e-4)
    assert loss(targets, prepared).tolist() == pytest.approx([0, 0, 0], abs=1e-7)
    free = images.clone().requires_grad_()
    loss(free, prepared)[0].backward()
    assert free.grad is not None
    assert free.grad.isfinite().all()
    assert free.grad[0].abs().max() > 0
    assert not free.grad[1:].any()


def test_pixel_losses_in_closed_form() -> None:
    x, y = torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), -0.25)
    assert LOSSES["mse"](None, CPU)(x, y).item() == pytest.approx(0.5625)
    assert LOSSES["l1"](None, CPU)(x, y).item() == pytest.approx(0.75)


@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_lpips_equals_the_package_and_the_stored_value(net: str, assets: Path) -> None:
    ours = load_lpips(net, assets, CPU)  # type: ignore[arg-type]
    images, targets = pictures()
    with torch.no_grad():
        want = ours.model(images, targets).flatten()
        torch.testing.assert_close(ours(images, targets), want, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(ours.distance(ours.features(images), ours.features(targets)), want)
        stored = json.loads((GOLDEN / "lpips.json").read_text())[net]
        assert ours(*synthetic_pair()).item() == pytest.approx(stored, abs=1e-4)


def test_image2stylegan_distance_equals_a_naive_forward(assets: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    configurations = torchvision.models.vgg
    vgg = configurations.make_layers(configurations.cfgs["D"])
    loss = LOSSES["vgg_i2s"](assets, CPU)
    trunk = load_lpips("vgg", assets, CPU).model
    ours = [layer for layer in trunk.net.modules() if isinstance(layer, nn.Conv2d)]
    theirs = [layer for layer in vgg if isinstance(layer, nn.Conv2d)]
    for mine, other in zip(ours, theirs, strict=True):
        other.load_state_dict(mine.state_dict())
    seen: dict[int, Tensor] = {}
    # conv1_1, conv1_2, conv3_2, conv4_2 by torchvision's indices, before their ReLU
    for index in (0, 2, 12, 19):
        vgg[index].register_forward_hook(lambda _m, _i, out, index=index: seen.__setitem__(index, out.clone()))

    def taps(images: Tensor) -> list[Tensor]:
        with torch.no_grad():
            vgg(trunk.scaling_layer(images))
        return [seen[index] for index in sorted(seen)]

    images, targets = pictures()
    want = sum((a - b).square().mean(dim=(1, 2, 3)) for a, b in zip(taps(images), taps(targets), strict=True))
    torch.testing.assert_close(loss(images, loss.prepare(targets)), want, rtol=1e-4, atol=1e-6)


def test_noise_penalty_equals_a_naive_loop() -> None:
    maps = [normal(range(2), (1, size, size)) for size in (4, 8, 32)]

    def naive(noise: Tensor) -> float:
        """One map [h, h] with explicit sums."""
        total = 0.0
        while True:
            size = len(noise)
            across = sum(noise[i, j] * noise[i, j - 1] for i in range(size) for j in range(size)) / size**2
            down = sum(noise[i, j] * noise[i - 1, j] for i in range(size) for j in range(size)) / size**2
            total += float(across) ** 2 + float(down) ** 2
            if size <= 8:
                return total
            noise = (noise[::2, ::2] + noise[1::2, ::2] + noise[::2, 1::2] + noise[1::2, 1::2]) / 4

    want = [sum(naive(noise[i, 0]) for noise in maps) for i in range(2)]
    assert noise_penalty(maps).tolist() == pytest.approx(want, rel=1e-4)


def test_normalised_noise_has_mean_zero_and_unit_rms() -> None:
    maps = [3 * normal(range(2), (1, 8, 8)) + 1, normal(range(2), (1, 16, 16))]
    first = maps[0].clone()
    normalise_noise_(maps)
    for noise in maps:
        assert noise.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-6)
        assert noise.square().mean(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1], rel=1e-5)
    one = first[0] - first[0].mean()
    torch.testing.assert_close(maps[0][0], one / one.square().mean().sqrt())
