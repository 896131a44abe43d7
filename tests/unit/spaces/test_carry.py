"""What is carried stays where nothing moves, follows what moves, fades where it changes, whatever the batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganvert.generators.base import Generator
from ganvert.spaces import make_space
from ganvert.spaces.carry import HALF_LEFT, carry, displacement
from ganvert.spaces.feature import FeatureStyle


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_nothing_moves() -> None:
    feature, residual = noise(2, 32, 8, 8), noise(2, 5, 8, 8, seed=1)
    assert not displacement(feature, feature).any()
    torch.testing.assert_close(carry(residual, feature, feature), residual)
    # Channels that are scaled and shifted as a whole say nothing about places.
    styled = 3 * feature * (1 + noise(1, 32, 1, 1, seed=2).abs()) + 7
    assert displacement(feature, styled).abs().max() < 1e-3


def test_residual_fades_where_the_features_change() -> None:
    # Longer by half: nothing moves, and the relative change is that at which half is left.
    feature, residual = noise(1, 64, 16, 16), noise(1, 3, 16, 16, seed=1)
    torch.testing.assert_close(carry(residual, feature, (1 + HALF_LEFT) * feature), residual / 2)
    # Something else in one corner: little is left there, and all elsewhere.
    other = feature.clone()
    other[..., :6, :6] = 3 * noise(1, 64, 6, 6, seed=2)
    left = carry(residual, feature, other).abs().mean(dim=(0, 1)) / residual.abs().mean(dim=(0, 1))
    assert left[:4, :4].max() < 0.2
    torch.testing.assert_close(left[10:, 10:], torch.ones(6, 6), atol=0.01, rtol=0)


@pytest.mark.parametrize(("x", "y"), [(1, 0), (0, -1), (-1, 1)])
def test_residual_follows_the_features(x: int, y: int) -> None:
    feature, residual = noise(1, 64, 16, 16), noise(1, 3, 16, 16, seed=1)
    moved = feature.roll((y, x), (2, 3))
    inside = slice(4, 12)
    found = displacement(feature, moved)[0, :, inside, inside]
    wanted = torch.tensor([-x, -y]).view(2, 1, 1).expand_as(found).float()
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)
    carried = carry(residual, feature, moved)[..., inside, inside]
    torch.testing.assert_close(carried, residual.roll((y, x), (2, 3))[..., inside, inside], atol=0.1, rtol=0)


def test_pictures_are_independent() -> None:
    before, after, residual = noise(3, 16, 8, 8), noise(3, 16, 8, 8, seed=1), noise(3, 4, 8, 8, seed=2)
    together = carry(residual, before, after)
    for i in range(3):
        one = carry(residual[i : i + 1], before[i : i + 1], after[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], one)


def test_left_in_place_as_feature_style_encoder_does(tiny_generator: Generator) -> None:
    space = make_space("fs16/wplus", tiny_generator)
    assert isinstance(space, FeatureStyle)
    codes = space.from_random([1, 2])
    codes["f"] = codes["f"] + noise(*codes["f"].shape)
    moves = [(noise(16, seed=3), (0, 8))]
    name = space.point.name
    rows = tiny_generator.features(space.detail.decode(codes), [name])[name]
    moved = space.move(codes, moves, carried=False)
    new = tiny_generator.features(space.detail.move(codes, moves), [name])[name]
    assert moved.features is not None
    torch.testing.assert_close(moved.features[name], codes["f"] + new - rows)
    default = space.move(codes, moves).features
    assert default is not None
    torch.testing.assert_close(default[name], new + carry(codes["f"] - rows, rows, new))
    assert not torch.allclose(default[name], moved.features[name], atol=0.01)
