"""The network that draws drafts from an early activation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError, UnsupportedError
from ganvert.compute.random import normal
from ganvert.generators.base import SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import area_resize
from ganvert.training.draft import Draft


def ws_of(generator: MobileStyleGAN, seeds: Sequence[int]) -> Tensor:
    return generator.map(normal(seeds, (generator.z_dim,)), psi=0.5)


def pictures_of(generator: MobileStyleGAN, seeds: Sequence[int]) -> Tensor:
    return generator.synthesize(ws=ws_of(generator, seeds))


def learning(draft: Draft, generator: MobileStyleGAN, assets: Path, epochs: int) -> list[float]:
    return draft.train_(
        generator,
        lambda seeds: ws_of(generator, seeds),
        lambda seeds: pictures_of(generator, seeds),
        48,
        folder=assets,
        epochs=epochs,
        lr=0.003,
    )


@pytest.fixture(scope="module")
def trained(tiny_generator: MobileStyleGAN, assets: Path) -> Draft:
    """A network after one epoch: no layer is as it started."""
    draft = Draft(tiny_generator)
    learning(draft, tiny_generator, assets, 1)
    return draft.eval()


def test_further_losses_count(tiny_generator: MobileStyleGAN, assets: Path) -> None:
    """The first step's loss is that of a network which has not moved yet: what is added can be computed alone."""
    wanted = [pictures_of(tiny_generator, range(8)), ws_of(tiny_generator, range(8))]
    first = []
    for more in ({}, {"mse": 2.0}):
        losses = Draft(tiny_generator).train_(
            tiny_generator,
            lambda seeds: ws_of(tiny_generator, seeds),
            lambda seeds: pictures_of(tiny_generator, seeds),
            8,
            folder=assets,
            more=more,
            epochs=1,
        )
        first.append(losses[0])
    draft = Draft(tiny_generator)
    with torch.no_grad():
        drawn = draft.draw(tiny_generator, SynthesisInput(ws=wanted[1]))
    error = (drawn - area_resize(wanted[0], draft.resolution)).square().mean()
    assert first[1] - first[0] == pytest.approx(2 * float(error), rel=1e-3)


@pytest.mark.slow
def test_learns(tiny_generator: MobileStyleGAN, assets: Path) -> None:
    draft = Draft(tiny_generator)
    losses = learning(draft, tiny_generator, assets, 24)
    draft.eval()
    assert len(losses) == 24 * 6
    assert sum(losses[-6:]) < 0.1 * sum(losses[:6])
    for seeds, most in ((range(16), 0.4), (range(1000, 1016), 0.9)):  # it has not seen the latter
        ws = ws_of(tiny_generator, seeds)
        with torch.no_grad():
            drawn = draft.draw(tiny_generator, SynthesisInput(ws=ws))
        wanted = area_resize(tiny_generator.synthesize(ws=ws), draft.resolution)
        assert drawn.shape == wanted.shape == (16, 3, 32, 32)
        mean = wanted.mean(dim=0)
        assert (drawn - wanted).square().mean() < most * (mean - wanted).square().mean()


def test_learns_the_same_again(tiny_generator: MobileStyleGAN, assets: Path) -> None:
    drafts = [Draft(tiny_generator) for _ in range(2)]
    losses = []
    for seed, draft in enumerate(drafts):
        torch.manual_seed(seed)
        losses.append(learning(draft, tiny_generator, assets, 1))
    assert losses[0] == losses[1]
    assert all(torch.equal(*pair) for pair in zip(*(draft.state_dict().values() for draft in drafts), strict=True))


def test_files(trained: Draft, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    trained.save(tmp_path / "draft.safetensors")
    loaded = Draft.load(tmp_path / "draft.safetensors", tiny_generator)
    synthesis_input = SynthesisInput(ws=ws_of(tiny_generator, range(3)))
    assert torch.equal(loaded.draw(tiny_generator, synthesis_input), trained.draw(tiny_generator, synthesis_input))
    with pytest.raises(CheckpointError, match="no such file"):
        Draft.load(tmp_path / "none.safetensors", tiny_generator)


def test_everything_in_a_code_has_gradients(trained: Draft, tiny_generator: MobileStyleGAN) -> None:
    ws = ws_of(tiny_generator, [0]).clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(trained.draw(tiny_generator, SynthesisInput(ws=ws)).square().sum(), ws)
    assert (gradient.abs().sum(dim=2) > 0).all()  # late rows through their mean
    point = next(p for p in tiny_generator.feature_points if p.first_row and p.shape[1] == 8)
    feature = torch.zeros(1, *point.shape, requires_grad=True)
    synthesis_input = SynthesisInput(ws=ws.detach(), features={point.name: feature})
    (gradient,) = torch.autograd.grad(trained.draw(tiny_generator, synthesis_input).sum(), feature)
    assert gradient.any()


def test_size_and_refusals(tiny_generator: MobileStyleGAN) -> None:
    assert Draft(tiny_generator).resolution == 32  # of the last feature that is a quarter of the picture
    assert Draft(tiny_generator, 8).resolution == 16
    with pytest.raises(UnsupportedError, match="no feature of at most 2 px; draw in full"):
        Draft(tiny_generator, 2)
    with pytest.raises(UnsupportedError, match="needs ws"):
        Draft(tiny_generator).draw(tiny_generator, SynthesisInput(styles=[torch.zeros(1, 4)]))
