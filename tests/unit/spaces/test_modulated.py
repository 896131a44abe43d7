"""A modulated feature map: what it draws, and what a direction leaves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.compute.random import normal
from ganvert.generators import load_generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.spaces import Variables, make_space
from ganvert.spaces.base import slots_of
from ganvert.spaces.modulated import Modulated

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"


@pytest.fixture(scope="module")
def space(tiny_generator: MobileStyleGAN) -> Modulated:
    made = make_space("c32/wplus", tiny_generator)
    assert isinstance(made, Modulated)
    return made


@pytest.fixture
def code(space: Modulated) -> Variables:
    scale, shift = (normal([i], space.point.shape) for i in (1, 2))
    return {**space.from_random([3]), "scale": scale, "shift": shift}


def test_no_modulation_is_the_space_of_the_rows(space: Modulated) -> None:
    plain = space.from_random([1, 2])
    assert not plain["scale"].any() and not plain["shift"].any()
    vector = torch.ones(16)
    for drawn, ws in (
        (space.decode(plain), plain["ws"]),
        (space.shift(plain, vector, (0, 8)), plain["ws"] + 1),
    ):
        assert torch.equal(space.generator.synthesize(drawn), space.generator.synthesize(ws=ws))


def test_modulation_in_closed_form(space: Modulated, code: Variables) -> None:
    """It stays where a direction moves the rows, and acts on the moved map."""
    generator, name = space.generator, space.point.name
    vector = normal([5], (16,))[0]
    styles = vector.new_full((sum(slot.width for slot in slots_of(generator, (0, 8))),), 0.1)
    still, moved = space.decode(code), space.shift(code, vector, (0, 8))
    for drawn in (still, moved, space.move_styles(still, [(styles, (0, 8))])):
        (plain,) = generator.features(space.without(drawn), [name]).values()
        (modulated,) = generator.features(drawn, [name]).values()
        torch.testing.assert_close(modulated, plain * (1 + code["scale"]) + code["shift"])
    assert torch.equal(generator.synthesize(space.without(still)), generator.synthesize(ws=code["ws"]))
    assert dataclasses.replace(space.without(moved), ws=None).deltas is None


def test_in_stylegan2_it_acts_after_the_convolution_that_upsamples() -> None:
    """The first one of its resolution, as in HFGI."""
    generator = load_generator(GOLDEN / "A2_ada_skip_w64_map8.pkl")
    generator.label = 1 if generator.label_dim else None
    made = make_space("c16/wplus", generator)
    assert isinstance(made, Modulated) and made.point.name == "b16.conv0"


def test_names(tiny_generator: MobileStyleGAN) -> None:
    with pytest.raises(UnsupportedError, match="has no feature of 24 px"):
        make_space("c24/wplus", tiny_generator)
    for name in ("c/wplus", "cs16/wplus", "c16-32/wplus"):
        with pytest.raises(ParamsError, match="cSIZE/DETAIL such as c64/wplus"):
            make_space(name, tiny_generator)
