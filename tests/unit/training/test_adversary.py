"""The discriminator's game: one step in closed form, the pool, what is resumed, and that it learns."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganvert.base.errors import CheckpointError, ParamsError, ShapeError, UnsupportedError
from ganvert.compute.random import normal
from ganvert.discriminators import fresh
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import area_resize
from ganvert.training.adversary import Adversary, AdversaryOptions, LatentDiscriminator, ReplayPool

LATENT = AdversaryOptions(kind="latent", weight=0.1, lr=1e-3, pool=5, r1_every=4)
PICTURE = AdversaryOptions(kind="picture", weight=0.1, px=16, base=128, r1_every=2)


def ws(generator: MobileStyleGAN, seeds: range) -> Tensor:
    """Rows that no mapping network made."""
    return normal(seeds, (generator.num_ws, generator.w_dim))


# --- one step in closed form -----------------------------------------------------------------------------------------


class Linear(nn.Module):
    """D(x) = <weight, x>: the gradient at any x is the weight."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).flatten(1).sum(dim=1)


def linear_game(generator: MobileStyleGAN, options: AdversaryOptions, weight: Tensor, lr: float) -> Adversary:
    game = Adversary(options, generator, None, 0)
    game.judge = Linear(weight)
    game.adam = torch.optim.SGD(game.judge.parameters(), lr=lr)
    return game


def slope(weight: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """Gradient of the mean logistic loss of a linear discriminator."""

    def weighted(x: Tensor, sign: float) -> Tensor:
        logits = (x * weight).flatten(1).sum(dim=1)
        shares = sign * torch.sigmoid(sign * logits) / len(x)
        return (x * shares.view(-1, *[1] * (x.ndim - 1))).sum(dim=0)

    return weighted(real, -1) + weighted(fake, 1)


@pytest.mark.parametrize("kind", ["latent", "picture"])
def test_r1_of_a_linear_discriminator(tiny_generator: MobileStyleGAN, kind: str) -> None:
    """Its penalty is gamma / 2 * |weight|^2, so weight decay: w - lr * (slope + every * gamma * w)."""
    if kind == "latent":
        real, fake = (normal(seeds, (1, 16)) for seeds in (range(4), range(4, 8)))
        weight, drop, base = 0.1 * normal([9], (16,))[0], (slice(None), 0), LATENT
    else:
        real, fake = (normal(seeds, (3, 16, 16)) for seeds in (range(4), range(4, 7)))
        weight, drop, base = 0.1 * normal([9], (3, 16, 16))[0], (slice(None),), PICTURE
    options = dataclasses.replace(base, r1=3.0, r1_every=1, pool=0)
    game = linear_game(tiny_generator, options, weight, 0.01)
    loss = game.update(real, fake, 0)
    gradient = slope(weight, real[drop], fake[drop])
    torch.testing.assert_close(game.judge.weight.detach(), weight - 0.01 * (gradient + 3.0 * weight))
    logits = [(x[drop] * weight).flatten(1).sum(dim=1) for x in (real, fake)]
    assert loss == pytest.approx(float(F.softplus(-logits[0]).mean() + F.softplus(logits[1]).mean()), rel=1e-5)

    # Lazily: a step of its own after the other one, as many times as strong as it is rare.
    lazy = linear_game(tiny_generator, dataclasses.replace(options, r1_every=4), weight, 0.01)
    lazy.update(real, fake, 8)
    after = weight - 0.01 * gradient
    torch.testing.assert_close(lazy.judge.weight.detach(), after - 0.01 * 4 * 3.0 * after)
    for step, r1 in ((9, 3.0), (8, 0.0)):
        still = linear_game(tiny_generator, dataclasses.replace(options, r1_every=4, r1=r1), weight, 0.01)
        still.update(real, fake, step)
        torch.testing.assert_close(still.judge.weight.detach(), after)


def test_what_the_game_costs(tiny_generator: MobileStyleGAN) -> None:
    codes = ws(tiny_generator, range(3)).requires_grad_()
    game = Adversary(LATENT, tiny_generator, None, 0)
    loss = game.generator_loss(codes)
    logits = game.judge(codes)
    torch.testing.assert_close(loss, F.softplus(-logits).mean(dim=1))
    loss.sum().backward()
    assert codes.grad is not None and all(p.grad is None and p.requires_grad for p in game.judge.parameters())
    torch.testing.assert_close(loss[1:2], game.generator_loss(codes[1:2]))  # whatever else is in the batch
    assert game.generator_loss(codes[:0]).shape == (0,)

    game = Adversary(PICTURE, tiny_generator, None, 0)
    pictures = normal(range(3), (3, 64, 64)).requires_grad_()
    loss = game.generator_loss(pictures)
    torch.testing.assert_close(loss, F.softplus(-game.judge(area_resize(pictures, 16))))
    loss.sum().backward()
    assert pictures.grad is not None and all(p.grad is None for p in game.judge.parameters())


# --- who judges ------------------------------------------------------------------------------------------------------


def test_the_latent_discriminator() -> None:
    state = torch.random.get_rng_state()
    network = LatentDiscriminator(512, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert sum(p.numel() for p in network.parameters()) == 3 * (512 * 512 + 512) + 513
    x = normal([0], (512,))
    for layer in (0, 2, 4):
        x = F.leaky_relu(x @ network.layers[layer].weight.T + network.layers[layer].bias, 0.2)
    wanted = (x @ network.layers[6].weight.T + network.layers[6].bias)[:, 0]
    torch.testing.assert_close(network(normal([0], (512,))), wanted)
    assert torch.equal(network.layers[0].weight, LatentDiscriminator(512, 3).layers[0].weight)
    assert not torch.equal(network.layers[0].weight, LatentDiscriminator(512, 4).layers[0].weight)


def test_the_checkpoints_own_discriminator(tiny_generator: MobileStyleGAN) -> None:
    own = fresh(64, channels_base=256, channels_max=8).requires_grad_(False)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    game = Adversary(dataclasses.replace(PICTURE, px=None), tiny_generator, own, 0)
    assert all(torch.equal(value, before[name]) for name, value in game.judge.state_dict().items())
    game.update(normal(range(2), (3, 64, 64)), normal(range(2, 4), (3, 64, 64)), 0)
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())  # a copy learns
    assert not any(torch.equal(p, before[name]) for name, p in game.judge.named_parameters())
    assert game.px == 64
    for options, px in ((PICTURE, 16), (dataclasses.replace(PICTURE, px=64), 64)):
        assert Adversary(options, tiny_generator, own, 0).px == px
    assert Adversary(dataclasses.replace(PICTURE, px=None), tiny_generator, None, 0).px == 64
    with pytest.raises(UnsupportedError, match="takes 1 channels, its generator draws 3"):
        Adversary(dataclasses.replace(PICTURE, px=None), tiny_generator, fresh(64, image_channels=1), 0)
    with pytest.raises(ParamsError, match=r"adversary\.px is 128"):
        Adversary(dataclasses.replace(PICTURE, px=128), tiny_generator, None, 0)
    with pytest.raises(ShapeError, match="images of 8 px cannot be judged at 16 px"):
        Adversary(PICTURE, tiny_generator, None, 0).update(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 64, 64), 0)
    with pytest.raises(ShapeError, match="needs photographs"):
        Adversary(PICTURE, tiny_generator, None, 0).update(None, torch.zeros(1, 3, 64, 64), 0)


# --- the pool --------------------------------------------------------------------------------------------------------


def test_the_pool() -> None:
    def numbered(step: int) -> Tensor:
        return torch.arange(10.0 * step, 10.0 * step + 4)[:, None]

    one, again, other = ReplayPool(6, 1), ReplayPool(6, 1), ReplayPool(6, 2)
    assert torch.equal(one.swap(numbered(0), 0), numbered(0))  # while there is room, all are judged and kept
    assert torch.equal(one.codes, numbered(0))
    again.swap(numbered(0), 0)
    other.swap(numbered(0), 0)
    everything = set(numbered(0)[:, 0].tolist())
    judged, different = [], 0
    for step in range(1, 60):
        new = numbered(step)
        everything |= set(new[:, 0].tolist())
        found = one.swap(new, step)
        assert torch.equal(found, again.swap(new, step))
        different += not torch.equal(found, other.swap(new, step))
        judged += found[:, 0].tolist()
        assert len(one.codes) == 6 and set(one.codes[:, 0].tolist()) <= everything
    everywhere = judged + one.codes[:, 0].tolist() + [0.0, 1.0, 2.0, 3.0]
    assert set(everywhere) == everything  # none is lost: it was judged or is still there
    old = sum(value // 10 < 1 + i // 4 for i, value in enumerate(judged))
    assert 0.38 < old / len(judged) < 0.62 and different > 50


def test_no_pool() -> None:
    pool = ReplayPool(0, 0)
    codes = normal(range(3), (4,))
    assert torch.equal(pool.swap(codes, 0), codes) and len(pool.codes) == 0
    assert pool.swap(codes[:0], 1).shape == (0, 4)


# --- resuming, learning ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [LATENT, PICTURE], ids=lambda options: options.kind)
def test_a_resumed_game_is_the_same_to_the_bit(
    options: AdversaryOptions, tiny_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    def played(game: Adversary, steps: range) -> list[float]:
        if options.kind == "latent":
            return [game.update(None, ws(tiny_generator, range(4 * i, 4 * i + 4)), i) for i in steps]
        pictures = [normal(range(4 * i, 4 * i + 4), (3, 16, 16)) for i in steps]
        return [game.update(x[:2], x[2:], i) for i, x in zip(steps, pictures, strict=True)]

    whole = Adversary(options, tiny_generator, None, 3)
    losses = played(whole, range(9))
    first, second = (Adversary(options, tiny_generator, None, 3) for _ in range(2))
    save_file(first.state(), tmp_path / "state")  # before the first step there is not much to save
    second.load_state(load_file(tmp_path / "state"))
    assert played(first, range(5)) == losses[:5]
    save_file(first.state(), tmp_path / "state")
    second.load_state(load_file(tmp_path / "state"))
    assert played(second, range(5, 9)) == losses[5:]
    state = second.state()
    assert ("pool" in state) == (options.kind == "latent")
    assert all(torch.equal(value, state[name]) for name, value in whole.state().items())


def test_states_of_something_else(tiny_generator: MobileStyleGAN) -> None:
    game = Adversary(LATENT, tiny_generator, None, 0)
    with pytest.raises(CheckpointError, match="x is not part of it"):
        game.load_state({"x": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="other sizes"):
        game.load_state(Adversary(PICTURE, tiny_generator, None, 0).state())
    for codes in (torch.zeros(6, 16), torch.zeros(2, 5)):
        with pytest.raises(CheckpointError, match="a pool of"):
            game.load_state({**game.state(), "pool": codes})


def test_it_learns_what_the_mapping_network_makes(tiny_generator: MobileStyleGAN) -> None:
    game = Adversary(dataclasses.replace(LATENT, lr=3e-3, r1=0.1), tiny_generator, None, 0)
    losses = [game.update(None, ws(tiny_generator, range(16 * i, 16 * i + 16)), i) for i in range(80)]
    assert losses[0] == pytest.approx(2 * math.log(2), abs=0.1)  # it knows nothing yet
    assert sum(losses[-10:]) / 10 < 0.6
    with torch.no_grad():
        real = tiny_generator.map(normal(range(10_000, 10_032), (16,)))
        assert float(game.judge(real).mean()) > 1 > -1 > float(game.judge(ws(tiny_generator, range(32))).mean())


@pytest.mark.parametrize(
    "given",
    [
        {"weight": 0.0},
        {"lr": -1.0},
        {"r1": -1.0},
        {"r1_every": 0},
        {"pool": -1},
        {"betas": (0.9, 1.0)},
        {"kind": "latent", "px": 64},
    ],
)
def test_refusals(given: dict[str, object]) -> None:
    with pytest.raises(ParamsError):
        AdversaryOptions(**{"kind": "picture", "weight": 1.0, **given})


def test_rows_of_another_width(tiny_generator: MobileStyleGAN) -> None:
    game = Adversary(LATENT, tiny_generator, None, 0)
    with pytest.raises(ShapeError, match="ws"):
        game.generator_loss(torch.zeros(2, 3, 5))
