"""Losses against the lpips package's own forward, naive loops and stored values."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from skimage import data
from torch import Tensor, nn

from ganvert.base.errors import AssetError, ShapeError
from ganvert.compute.random import normal
from ganvert.faces.chips import DLIB, DLIB_POINTS_FFHQ, place_points
from ganvert.losses import LOSSES, lpips
from ganvert.losses.identity import IdentityDlib
from ganvert.losses.laplacian import _enlarge, laplacian_pyramid
from ganvert.losses.lpips import load_lpips
from ganvert.losses.noise import noise_penalty, normalise_noise_
from ganvert.losses.perceptual import gram

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


@pytest.mark.slow
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


def test_checkerboard_sees_what_repeats_and_nothing_else() -> None:
    """A pattern counts by its variance, wherever it begins; slopes, other periods and noise hardly do."""
    loss = LOSSES["checkerboard"](None, CPU)
    target = torch.zeros(1, 3, 256, 256)
    pattern = normal([0], (3, 8, 8))
    pattern = pattern - pattern.mean(dim=(2, 3), keepdim=True)
    want = float(pattern.square().mean())
    tiled = pattern.repeat(1, 1, 32, 32)
    assert loss(tiled, target).item() == pytest.approx(want, rel=1e-3)
    assert loss(tiled.roll((3, 5), (2, 3)), target).item() == pytest.approx(want, rel=1e-3)
    assert loss(3 * tiled, target).item() == pytest.approx(9 * want, rel=1e-3)
    ramp = torch.linspace(-1, 1, 256).expand(1, 3, 256, 256)
    assert loss(ramp, target).item() < 1e-6 * float(ramp.square().mean())
    assert loss(normal([1], (3, 256, 256)), target).item() == pytest.approx(1 / 64, rel=0.2)  # 64 periods in a window
    other = normal([2], (3, 11, 11)).repeat(1, 1, 24, 24)[..., :256, :256]
    assert loss(other, target).item() < 0.05 * float(other.square().mean())
    with pytest.raises(ShapeError, match="wanted images of 16 px or more"):
        loss.prepare(torch.zeros(1, 3, 8, 8))


@pytest.mark.slow
@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_lpips_equals_the_package_and_the_stored_value(net: str, assets: Path) -> None:
    ours = load_lpips(net, assets, CPU)  # type: ignore[arg-type]
    images, targets = pictures()
    with torch.no_grad():
        want = ours.model(images, targets).flatten()
        torch.testing.assert_close(ours(images, targets), want, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(ours.distance(images, ours.features(targets)), want)
        stored = json.loads((GOLDEN / "lpips.json").read_text())[net]
        assert ours(*synthetic_pair()).item() == pytest.approx(stored, abs=1e-4)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_head_in_one_pass_equals_the_formula(
    memory_format: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values and gradients of two images in pieces of which the last is shorter, a feature of length 0 included."""
    monkeypatch.setattr(lpips, "_CHUNK", 5 * 7)
    features = normal([0, 1], (5, 3, 6)).contiguous(memory_format=memory_format)
    features[0, :, 1, 2] = 0
    targets, weight = lpips._unit(normal([2, 3], (5, 3, 6))), torch.tensor([0.0, 1.0, 0.5, 2.0, 0.1])
    ours, theirs = features.clone().requires_grad_(), features.clone().double().requires_grad_()
    value = lpips._Head.apply(ours, targets, weight)
    length = (theirs.square().sum(dim=1, keepdim=True) + 1e-20).sqrt()
    want = ((theirs / length - targets).square() * weight[:, None, None]).sum(dim=1).mean(dim=(1, 2))
    torch.testing.assert_close(value.double(), want)
    factors = torch.tensor([1.0, -2.0])
    (value @ factors).backward()
    (want @ factors.double()).backward()
    assert ours.grad is not None
    assert ours.grad.isfinite().all()
    torch.testing.assert_close(ours.grad.double()[1], theirs.grad[1])  # type: ignore[index]
    away = torch.ones(3, 6, dtype=torch.bool)
    away[1, 2] = False  # there the slope is 1e10
    torch.testing.assert_close(ours.grad.double()[0][:, away], theirs.grad[0][:, away])  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lpips_vgg", "lpips_alex", "vgg_i2s", "vgg_conv4_3", "gram"])
def test_bfloat16_is_near(name: str, assets: Path) -> None:
    """Values within 2 %; the gradient of a pixel is noisier, where units near 0 fall on the other side."""
    images, targets = pictures()
    loss, results = LOSSES[name](assets, CPU), []
    for low in (False, True):
        free = images.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            value = loss(free, loss.prepare(targets))
        (gradient,) = torch.autograd.grad(value.sum(), free)
        assert gradient.dtype == torch.float32
        results.append((value.detach().float(), gradient))
    (exact, slope), (near, near_slope) = results
    assert not torch.equal(near, exact)
    torch.testing.assert_close(near, exact, rtol=0.02, atol=1e-5)
    assert float(torch.cosine_similarity(near_slope.flatten(), slope.flatten(), dim=0)) > 0.9


def vgg_features(images: Tensor, layers: list[str], assets: Path) -> list[Tensor]:
    """Outputs of torchvision's own VGG16, of a convolution (conv3_2) or of the ReLU behind it (relu3_2)."""
    trunk = load_lpips("vgg", assets, CPU).model  # before torchvision, whose import it may have to help
    configurations = pytest.importorskip("torchvision").models.vgg
    vgg = configurations.make_layers(configurations.cfgs["D"])
    ours = [layer for layer in trunk.net.modules() if isinstance(layer, nn.Conv2d)]
    theirs = [layer for layer in vgg if isinstance(layer, nn.Conv2d)]
    for mine, other in zip(ours, theirs, strict=True):
        other.load_state_dict(mine.state_dict())
    seen: dict[str, Tensor] = {}
    x, block, place = trunk.scaling_layer(images), 1, 0
    with torch.no_grad():
        for layer in vgg:
            if isinstance(layer, nn.MaxPool2d):
                block, place = block + 1, 0
            place += isinstance(layer, nn.Conv2d)
            x = layer(x)
            kind = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool"}[type(layer)]
            seen[f"{kind}{block}_{place}"] = x.clone()  # ReLU overwrites
    return [seen[name] for name in layers]


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("vgg_i2s", ["conv1_1", "conv1_2", "conv3_2", "conv4_2"]),
        ("vgg_i2spp", ["conv1_1", "conv1_2", "conv2_2", "conv3_3"]),
        ("vgg_conv4_3", ["relu4_3"]),
    ],
)
def test_vgg_distances_equal_a_naive_forward(name: str, layers: list[str], assets: Path) -> None:
    images, targets = pictures()
    both = zip(vgg_features(images, layers, assets), vgg_features(targets, layers, assets), strict=True)
    want = sum((a - b).square().mean(dim=(1, 2, 3)) for a, b in both)
    loss = LOSSES[name](assets, CPU)
    torch.testing.assert_close(loss(images, loss.prepare(targets)), want, rtol=1e-4, atol=1e-6)


def test_style_distance_equals_a_naive_sum_and_does_not_see_places(assets: Path) -> None:
    images, targets = pictures()

    def naive(picture: Tensor) -> Tensor:
        (features,) = vgg_features(picture, ["conv3_3"], assets)
        channels, height, width = features.shape[1:]
        return torch.einsum("nchw,ndhw->ncd", features, features).double() / (channels * height * width)

    want = (naive(images) - naive(targets)).square().sum(dim=(1, 2))
    loss = LOSSES["gram"](assets, CPU)
    torch.testing.assert_close(loss(images, loss.prepare(targets)).double(), want, rtol=1e-4, atol=1e-9)

    constant = torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1).expand(1, 3, 4, 6)
    column = torch.tensor([[1.0], [-2.0], [0.5]])
    torch.testing.assert_close(gram(constant)[0], column @ column.T / 3)
    features = normal([0], (3, 4, 6))
    torch.testing.assert_close(gram(features.flatten(2)[:, :, torch.randperm(24)].view(1, 3, 6, 4)), gram(features))


def test_laplacian_bands_equal_scipy_and_add_up_to_the_picture() -> None:
    picture = normal([0], (2, 37, 50))

    def blur(image: Tensor) -> Tensor:
        array = image.double().numpy()
        for axis in (2, 3):
            array = convolve1d(array, [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16], axis=axis, mode="mirror")
        return torch.from_numpy(array)

    bands = laplacian_pyramid(picture)
    assert [tuple(band.shape[2:]) for band in bands] == [(37, 50), (19, 25), (10, 13), (5, 7), (3, 4)]
    level = picture.double()
    for band in bands[:-1]:
        smaller = blur(level)[:, :, ::2, ::2]
        spread = torch.zeros_like(level)
        spread[:, :, ::2, ::2] = smaller
        torch.testing.assert_close(band.double(), level - 4 * blur(spread), rtol=0, atol=1e-5)
        level = smaller
    torch.testing.assert_close(bands[-1].double(), level, rtol=0, atol=1e-5)

    whole = bands[-1]
    for band in reversed(bands[:-1]):
        whole = band + _enlarge(whole, band)
    torch.testing.assert_close(whole, picture)
    assert [len(laplacian_pyramid(torch.zeros(1, 1, px, px))) for px in (4, 5, 16, 32, 33, 256)] == [1, 2, 3, 4, 5, 5]


def test_laplacian_distance_in_closed_form() -> None:
    loss = LOSSES["laplacian"](None, CPU)
    grey = torch.full((1, 3, 64, 64), 0.1)
    assert loss(grey, loss.prepare(grey)).item() == 0
    # A constant is in the residual alone, whose weight is 4^-4 / (1 + 4^-1 + ... + 4^-4); with three bands 4^-2 / ...
    assert loss(grey + 0.5, grey).item() == pytest.approx(0.5 / 341, rel=1e-4)
    assert loss(grey[..., :16, :16] + 0.5, grey[..., :16, :16]).item() == pytest.approx(0.5 / 21, rel=1e-4)
    # The filter removes the highest frequency altogether, so that it is in the finest band alone.
    board = ((torch.arange(64).view(-1, 1) + torch.arange(64)) % 2 * 2 - 1).float().expand(1, 3, 64, 64)
    assert loss(grey + 0.3 * board, grey).item() == pytest.approx(0.3 * 256 / 341, rel=1e-4)


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


@pytest.mark.slow
def test_identity_without_a_face_takes_the_aligned_template(assets: Path) -> None:
    """Masked or dark targets are still compared, where an aligned picture has its face."""
    loss = LOSSES["identity_dlib"](assets, CPU)
    images, targets = pictures()
    prepared = loss.prepare(targets)
    want = place_points(np.array(DLIB_POINTS_FFHQ) * 64 - 0.5, DLIB)
    np.testing.assert_allclose(prepared["places"], np.stack([want] * 3), rtol=1e-5)
    assert loss(images, prepared).isfinite().all()


def face_pair() -> tuple[Tensor, Tensor]:
    """A face and its mirror image at 128 px in float64, and noisy copies."""
    face = data.astronaut()[:256, 96:352].reshape(128, 2, 128, 2, 3).mean((1, 3)) / 127.5 - 1
    targets = torch.from_numpy(np.stack([face, face[:, ::-1]])).permute(0, 3, 1, 2)
    return (targets + 0.2 * normal(range(2), (3, 128, 128))).clamp(-1, 1), targets


@pytest.mark.slow
def test_identity_of_faces(assets: Path) -> None:
    """In float64: single images have the values of a batch, and the gradient is that of central differences."""
    loss = IdentityDlib(assets, CPU)
    # Loaded describers are shared, hence a copy.
    loss.describer = copy.copy(loss.describer)
    loss.describer.network = copy.deepcopy(loss.describer.network).double()
    images, targets = face_pair()
    prepared = loss.prepare(targets)
    mean = place_points(np.array(DLIB_POINTS_FFHQ) * 128 - 0.5, DLIB)
    assert (prepared["places"] - torch.from_numpy(mean)).abs().amax(dim=(1, 2)).min() > 1, "no face was found"
    values = loss(images, prepared)
    alone = [loss(i[None], loss.prepare(t[None])).item() for i, t in zip(images, targets, strict=True)]
    assert values.tolist() == pytest.approx(alone, rel=1e-9) and values.min() > 0.01
    assert loss(targets, prepared).tolist() == [0, 0]
    free = images.clone().requires_grad_()
    loss(free, prepared).sum().backward()
    assert free.grad is not None
    step = normal([7], (2, 3, 128, 128))[0].double()
    # Longer steps cross kinks of ReLU and max pooling.
    numeric = (loss(images + 1e-8 * step, prepared) - loss(images - 1e-8 * step, prepared)).sum().item() / 2e-8
    assert (free.grad * step).sum().item() == pytest.approx(numeric, rel=1e-5)


def test_identity_without_its_network_names_it_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"dlib_descriptor\.safetensors is missing; run `ganvert fetch`"):
        IdentityDlib(tmp_path, CPU)


def test_maps_of_lpips_are_where_pictures_differ(assets: Path) -> None:
    """Their mean is LPIPS itself, because a bilinear enlargement by a whole factor keeps the mean."""
    network = load_lpips("vgg", assets, CPU)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    changed = pictures.clone()
    changed[1, :, :, 40:] *= -1
    maps = network.maps(changed, network.features(pictures))
    assert maps.shape == (2, 1, 64, 64) and not maps[0].any()
    torch.testing.assert_close(maps.mean(dim=(1, 2, 3)), network(changed, pictures), rtol=1e-4, atol=1e-6)
    assert maps[1, ..., 44:].mean() > 2 * maps[1, ..., :20].mean()
