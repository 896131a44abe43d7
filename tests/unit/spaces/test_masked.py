"""Masked feature differences: what they draw, what moves with a direction, and what the masks keep."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.compute.random import normal
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.spaces import Variables, make_space
from ganvert.spaces.base import slots_of
from ganvert.spaces.masked import Masked


@pytest.fixture(scope="module")
def space(tiny_generator: MobileStyleGAN) -> Masked:
    made = make_space("m16-32/wplus", tiny_generator)
    assert isinstance(made, Masked)
    return made


def code_of(space: Masked, **masks: Tensor) -> Variables:
    """A code with differences, and masks of some maps."""
    code = space.from_random([1])
    for i, name in enumerate(space.differences):
        code[name] = 0.5 * normal([i], space.shapes[name])
    return {**code, **{name: mask.expand(1, *space.shapes[name]) for name, mask in masks.items()}}


def left(size: int) -> Tensor:
    """The left half of a map, with a soft border."""
    return torch.linspace(size / 4, -size / 4, size).clamp(-1, 1).add(1).div(2).expand(1, 1, size, size)


def draw(space: Masked, code: Variables) -> Tensor:
    return space.generator.synthesize(space.decode(code))


def test_maps_and_constants(space: Masked) -> None:
    assert (space.sizes, space.constants, space.differences) == ([16, 32], ("m16", "m32"), ("d16", "d32"))
    assert space.shapes["m32"] == (1, 32, 32)
    assert space.shapes["d32"] == next(p.shape for p in space.generator.feature_points if p.shape[1] == 32)


def test_without_masks_it_is_the_space_of_the_rows(space: Masked) -> None:
    code = code_of(space)
    assert torch.equal(draw(space, code), space.generator.synthesize(ws=code["ws"]))
    moved = space.generator.synthesize(space.shift(code, torch.ones(16), (0, 8)))
    assert torch.equal(moved, space.generator.synthesize(ws=code["ws"] + 1))


def test_under_a_full_mask_it_is_the_space_of_the_feature(space: Masked) -> None:
    """A difference of the finest map that is everywhere is a feature in its place, but for what skips it."""
    point = space.points[32].name
    code = code_of(space, m32=torch.ones(1))
    own = space.generator.features(space.decode({**code, "d32": 0 * code["d32"]}), [point])[point]
    whole = make_space("f32/wplus", space.generator)
    as_feature = {"f": own + code["d32"], "ws": code["ws"][:, whole.first_coded :]}
    expected = space.generator.synthesize(whole.decode(as_feature))
    torch.testing.assert_close(draw(space, code), expected, rtol=1e-4, atol=1e-4)


def test_an_edit_keeps_the_maps_under_their_masks(space: Masked) -> None:
    """As SAM blends: x' where the mask is 0, the map as it was where it is 1."""
    code = code_of(space, m16=left(16))
    point, generator = space.points[16].name, space.generator
    moved = space.shift(code, 2 * torch.ones(16), (0, 8))
    before = generator.features(space.decode(code), [point])[point]
    free = generator.features(dataclasses.replace(moved, deltas=None, masks=None), [point])[point]
    after = generator.features(moved, [point])[point]
    torch.testing.assert_close(after[..., :6], before[..., :6], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after[..., 10:], free[..., 10:], rtol=1e-4, atol=1e-4)
    assert (free - before).abs().amin(dim=(0, 1, 2)).sum() > 0.0  # the edit moves something on both sides


@pytest.mark.parametrize("space_of_direction", ["w", "s"])
def test_nothing_moves_at_amount_0(space: Masked, space_of_direction: str) -> None:
    """To the bit, at the soft borders of overlapping masks too."""
    code = code_of(space, m16=left(16), m32=left(32).flip(-1))
    if space_of_direction == "w":
        drawn = space.shift(code, torch.zeros(16), (0, 8))
    else:
        width = sum(slot.width for slot in slots_of(space.generator, (2, 4)))
        drawn = space.move_styles(space.decode(code), [(torch.zeros(width), (2, 4))])
    assert torch.equal(space.generator.synthesize(drawn), draw(space, code))


def test_spaces_that_do_not_exist(tiny_generator: MobileStyleGAN) -> None:
    with pytest.raises(UnsupportedError, match=r"m128-256/wplus: .* no feature maps .* \[4, 8, 16, 32\]"):
        make_space("m128-256/wplus", tiny_generator)
    for name in ("m16/wplus", "m16-/wplus", "m0-8/wplus", "m8-16/f16/wplus"):
        with pytest.raises(ParamsError, match="mSIZE-SIZE/DETAIL"):
            make_space(name, tiny_generator)
