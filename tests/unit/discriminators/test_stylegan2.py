"""StyleGAN2's discriminator against the plainest way to write it down, and what `fresh` promises."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.base.errors import CheckpointError, ParamsError, ShapeError, UnsupportedError
from ganvert.compute.random import normal
from ganvert.discriminators.losses import logistic_discriminator
from ganvert.discriminators.stylegan2 import StyleGAN2Discriminator, fresh, minibatch_deviation

SQRT2 = math.sqrt(2)
CHANNELS = {4: 6, 8: 6, 16: 4}


def plain(
    state: Mapping[str, Tensor],
    images: Tensor,
    labels: Tensor | None = None,
    *,
    group: int = 1,
    clamp: float = math.inf,
    lr: float = 0.01,
) -> Tensor:
    """Logits [N] in double precision: filters as sums of shifted pictures, strides as what is left out afterwards."""
    state = {name: value.double() for name, value in state.items()}

    def blurred(x: Tensor, pad: int) -> Tensor:
        x, taps = F.pad(x, (pad,) * 4), (1 / 8, 3 / 8, 3 / 8, 1 / 8)
        height, width = x.shape[2] - 3, x.shape[3] - 3
        return sum(
            a * b * x[:, :, i : i + height, j : j + width] for i, a in enumerate(taps) for j, b in enumerate(taps)
        )

    def layer(name: str, x: Tensor, *, down: bool = False, gain: float = 1.0) -> Tensor:
        weight = state[f"{name}.weight"]
        size = weight.shape[2]
        x = F.conv2d(
            blurred(x, 2) if down else x,
            weight / math.sqrt(weight[0].numel()),
            state[f"{name}.bias"],
            padding=0 if down else size // 2,
        )
        x = x[:, :, ::2, ::2] if down else x
        x = F.leaky_relu(x, 0.2) * (SQRT2 * gain)
        return x.clamp(-clamp * gain, clamp * gain)

    def dense(name: str, x: Tensor, lr: float = 1.0) -> Tensor:
        weight = state[f"{name}.weight"]
        return x @ weight.t() * (lr / math.sqrt(weight.shape[1])) + lr * state[f"{name}.bias"]

    def unit(x: Tensor) -> Tensor:
        return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()

    size, x = images.shape[2], images.double()
    x = layer(f"b{size}.fromrgb", x)
    while size > 4:
        weight = state[f"b{size}.skip.weight"][:, :, 0, 0]
        around = torch.einsum("oi,nihw->nohw", weight, blurred(x, 1)[:, :, ::2, ::2]) / math.sqrt(weight.shape[1])
        inside = layer(f"b{size}.conv1", layer(f"b{size}.conv0", x), down=True, gain=1 / SQRT2)
        x, size = inside + around / SQRT2, size // 2
    count = state["b4.conv.weight"].shape[1] - x.shape[1]
    rows = []
    for start in range(0, len(x), group):
        own = x[start : start + group]
        spread = (own.var(dim=0, unbiased=False) + 1e-8).sqrt()
        means = [part.mean() * torch.ones(group, 1, 4, 4) for part in (spread.chunk(count) if count else ())]
        rows.append(torch.cat([own, *means], dim=1))
    x = layer("b4.conv", torch.cat(rows))
    x = dense("b4.out", F.leaky_relu(dense("b4.fc", x.flatten(1)), 0.2) * SQRT2)
    if labels is None:
        return x[:, 0]
    wanted, i = unit(dense("mapping.embed", labels.double())), 0
    while f"mapping.fc{i}.weight" in state:
        wanted, i = F.leaky_relu(dense(f"mapping.fc{i}", wanted, lr), 0.2) * SQRT2, i + 1
    return (x * wanted).sum(dim=1) / math.sqrt(x.shape[1])


def made(conv_clamp: float | None = None, **options: object) -> StyleGAN2Discriminator:
    """A 16 px network with random numbers in all its parts."""
    network = StyleGAN2Discriminator(CHANNELS, conv_clamp=conv_clamp, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for i, (name, value) in enumerate(network.named_parameters()):
            value.copy_(normal([i], value.shape)[0] * (100 if name.startswith("mapping.fc") else 1))
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Coarse patterns under noise: white noise alone looks much alike at 4 px."""
    coarse = 2 * normal(range(8), (3, 4, 4))
    return F.interpolate(coarse, scale_factor=4) + 0.5 * normal(range(8, 16), (3, 16, 16))


@pytest.mark.parametrize("group", [1, 2, 4, 8])
@pytest.mark.parametrize("variety", [0, 1, 2])
def test_logits(images: Tensor, group: int, variety: int) -> None:
    network = made(variety=variety)
    wanted = plain(network.state_dict(), images, group=group)
    assert float(wanted.std()) > 0.1
    torch.testing.assert_close(network(images, group=group).double(), wanted, rtol=1e-4, atol=1e-4)


def test_logits_with_a_clamp(images: Tensor) -> None:
    network, loose = made(0.7), made()
    wanted = plain(network.state_dict(), images, clamp=0.7)
    torch.testing.assert_close(network(images).double(), wanted, rtol=1e-4, atol=1e-4)
    assert float((loose(images) - network(images)).abs().min()) > 1e-3


@pytest.mark.parametrize("lr", [0.01, 0.1])
def test_logits_of_a_conditional_network(images: Tensor, lr: float) -> None:
    network = made(label_dim=5, label_width=7, widths=[8, 10], lr_multiplier=lr)
    labels = torch.eye(5)[[0, 1, 2, 3, 4, 0, 1, 2]]
    wanted = plain(network.state_dict(), images, labels, lr=lr)
    torch.testing.assert_close(network(images, labels).double(), wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(UnsupportedError, match=r"choose one class .*0 to 4"):
        network(images)
    network.label = 3
    third = torch.eye(5)[[3]].expand(8, -1)
    assert torch.equal(network(images), network(images, third))
    assert not torch.allclose(network(images), wanted.float())
    with pytest.raises(ShapeError, match="labels"):
        network(images, labels[:, :4])


def test_each_picture_is_judged_alone(images: Tensor) -> None:
    network = made()
    together = network(images)
    torch.testing.assert_close(together, torch.cat([network(image[None]) for image in images]), rtol=1e-5, atol=1e-5)
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    torch.testing.assert_close(network(images[order]), together[order], rtol=1e-5, atol=1e-5)


def test_groups(images: Tensor) -> None:
    network = made()
    together = network(images, group=4)
    assert float((together - network(images)).abs().min()) > 1e-4
    torch.testing.assert_close(together[:4], network(images[:4], group=4), rtol=1e-5, atol=1e-5)
    order = [2, 0, 3, 1, 4, 5, 6, 7]
    torch.testing.assert_close(network(images[order], group=4), together[order], rtol=1e-5, atol=1e-5)
    # A group of one picture over and over varies as little as a picture alone.
    same = images[:1].expand(4, -1, -1, -1)
    torch.testing.assert_close(network(same, group=4), network(same), rtol=1e-5, atol=1e-5)


def test_deviation_in_closed_form() -> None:
    x = torch.tensor([1.0, -1.0, 5.0, 1.0])[:, None, None, None].repeat(1, 4, 2, 2)
    x[:, 2:] *= 10
    wanted = torch.tensor([[1.0, 10], [1, 10], [2, 20], [2, 20]])[:, :, None, None]
    torch.testing.assert_close(minibatch_deviation(x, 2, 2), wanted)
    torch.testing.assert_close(minibatch_deviation(x, 2, 1), wanted.mean(dim=1, keepdim=True))
    torch.testing.assert_close(minibatch_deviation(x, 1, 1), torch.full((4, 1, 1, 1), 1e-4))


def test_what_it_cannot_be_told(images: Tensor) -> None:
    network = made()
    for wrong in (images[:, :1], images[..., :8], images[0]):
        with pytest.raises(ShapeError, match="images: wanted"):
            network(wrong)
    for group in (3, 0):
        with pytest.raises(ShapeError, match=f"groups of {group}, got 8"):
            network(images, group=group)
    with pytest.raises(UnsupportedError, match="not conditional"):
        network(images, torch.eye(8))


# --- from a state dict -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label_dim", [0, 5])
def test_sizes_follow_the_state(images: Tensor, label_dim: int) -> None:
    sizes = {"label_dim": 5, "label_width": 7, "widths": [8, 10]} if label_dim else {}
    network = made(0.7, variety=2, **sizes)
    again = StyleGAN2Discriminator.for_state(network.state_dict(), {"conv_clamp": 0.7})
    again.load_state_dict(network.state_dict())
    assert (again.resolution, again.image_channels, again.label_dim) == (16, 3, label_dim)
    network.label = again.label = 1 if label_dim else None
    assert torch.equal(network(images, group=4), again(images, group=4))


@pytest.mark.parametrize(
    ("name", "shape", "match"),
    [
        ("b8.conv0.weight", None, r"blocks are of \[16\]"),
        ("b16.fromrgb.weight", None, "KeyError"),
        ("b16.skip.weight", None, "b16.skip.weight is missing"),
        ("b16.torgb.weight", (3, 4, 1, 1), "b16.torgb.weight is not part of it"),
        ("b64.conv0.weight", (4, 4, 3, 3), r"blocks are of \[8, 16, 64\]"),
        ("b99999999999.conv0.weight", (4, 4, 3, 3), "blocks are of"),
        ("bx.conv0.weight", (4, 4, 3, 3), "invalid literal"),
        ("b16.conv0.weight", (1 << 20, 1, 1, 1), "has shape"),
        ("b4.conv.weight", (6, 5, 3, 3), "-1 standard deviations"),
        ("b4.conv.weight", (6, 10, 3, 3), "4 standard deviations"),
        ("b4.conv.weight", (), "0-d tensor"),
        ("b4.fc.weight", (6, 97), r"b4.fc.weight has shape \[6, 97\], wanted \[6, 96\]"),
        ("b4.out.weight", (2, 6), "b4.out.weight has shape"),
        ("mapping.embed.weight", (7, 5), "not a residual StyleGAN2 discriminator"),
    ],
)
def test_states_that_do_not_fit(name: str, shape: tuple[int, ...] | None, match: str) -> None:
    state = dict(made().state_dict())
    if shape is None:
        del state[name]
    else:
        state[name] = torch.zeros(shape)
    with pytest.raises(CheckpointError, match=match):
        StyleGAN2Discriminator.for_state(state, {})


@pytest.mark.parametrize("config", [{"conv_clamp": -1}, {"conv_clamp": "1"}, {"lr_multiplier": math.inf}, {"psi": 1}])
def test_configurations_that_do_not_fit(config: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match=f"{next(iter(config))}"):
        StyleGAN2Discriminator.for_state(made().state_dict(), config)


# --- from scratch ----------------------------------------------------------------------------------------------------


def test_fresh_weights_are_the_seeds() -> None:
    state = torch.random.get_rng_state()
    one, again, other = (fresh(32, channels_base=256, channels_max=16, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in one.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
        if name.endswith("bias"):
            assert not value.any()
        else:
            assert not torch.equal(value, other.state_dict()[name])
            assert float(value.mean()) == pytest.approx(0, abs=4 / math.sqrt(value.numel()))
    assert all(parameter.requires_grad for parameter in one.parameters())
    assert {name: len(one.get_submodule(f"{name}.conv0").weight) for name in ("b32", "b16")} == {"b32": 8, "b16": 16}
    logits = one(normal(range(4), (3, 32, 32)))
    assert logits.shape == (4,) and float(logits.detach().abs().max()) < 10
    assert fresh(8, channels_base=64, image_channels=1)(torch.zeros(2, 1, 8, 8)).shape == (2,)


def test_as_many_weights_as_published() -> None:
    """Numbers of weights that NVlabs' code prints for config F at 1024 px."""
    with torch.device("meta"):
        network = StyleGAN2Discriminator({2**i: min(32768 >> i, 512) for i in range(2, 11)})
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in network.named_modules()}
    published = {"b1024.fromrgb": 128, "b1024.conv0": 9248, "b1024.conv1": 18496, "b1024.skip": 2048}
    published |= {"b512.skip": 8192, "b256.conv0": 147584, "b128.conv1": 1180160, "b64.conv0": 2359808}
    assert {name: counts[name] for name in published} == published


@pytest.mark.parametrize(
    "sizes", [{"resolution": 48}, {"resolution": 4}, {"resolution": 16, "channels_base": 8}, {"resolution": 8192}]
)
def test_fresh_refusals(sizes: dict[str, int]) -> None:
    with pytest.raises(ParamsError, match="discriminator"):
        fresh(**sizes)


def test_a_fresh_one_learns() -> None:
    """White noise from smooth noise of the same mean and variance."""

    def real(seeds: range) -> Tensor:
        return 0.5 * normal(seeds, (3, 16, 16))

    def fake(seeds: range) -> Tensor:
        smooth = F.avg_pool2d(normal(seeds, (3, 18, 18)), 3, stride=1)
        return 0.5 * 3 * smooth

    network = fresh(16, channels_base=128, channels_max=16)
    unseen = range(10_000, 10_032)
    with torch.no_grad():
        assert float(network(real(unseen)).min()) < float(network(fake(unseen)).max())
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3, betas=(0.0, 0.99))
    for step in range(60):
        seeds = range(8 * step, 8 * step + 8)
        loss = logistic_discriminator(network(real(seeds)), network(fake(seeds))).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        assert float(network(real(unseen)).min()) > 1
        assert float(network(fake(unseen)).max()) < -1
