"""Rings against their maps, and PadInv's space on every architecture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.compute.random import normal
from ganvert.generators import Generator, SynthesisInput
from ganvert.spaces import make_space
from ganvert.spaces.pad import Pad, map_of, ring_of


@pytest.fixture
def space(paddable_generator: Generator) -> Pad:
    space = make_space("pad/wplus", paddable_generator)
    assert isinstance(space, Pad)
    return space


def test_a_ring_by_hand() -> None:
    padding = torch.arange(16.0).view(1, 4, 4)
    ring = ring_of(padding)
    assert ring.tolist() == [[0, 1, 2, 3, 12, 13, 14, 15, 4, 8, 7, 11]]
    back = map_of(ring)
    assert back.tolist() == [[[0, 1, 2, 3], [4, 0, 0, 7], [8, 0, 0, 11], [12, 13, 14, 15]]]


@pytest.mark.parametrize("resolution", [4, 8, 16, 32])
def test_rings_lose_nothing(resolution: int) -> None:
    ring = normal([1, 2], (3, 4 * (resolution + 1)))
    assert torch.equal(ring_of(map_of(ring)), ring)
    padding = normal([3, 4], (3, resolution + 2, resolution + 2))
    back = map_of(ring_of(padding))
    assert back.shape == padding.shape
    assert not back[..., 1:-1, 1:-1].any()
    padding[..., 1:-1, 1:-1] = 0
    assert torch.equal(back, padding)


def test_a_start_draws_the_picture_of_its_detail(space: Pad) -> None:
    generator = space.generator
    ws = generator.map_rows(normal(range(2 * generator.num_ws), (generator.z_dim,)).unflatten(0, (2, -1)))
    image, codes = generator.synthesize(ws=ws), space.from_ws(ws)
    space.check(codes)
    padded = generator.synthesize(space.decode(codes))
    if generator.architecture == "mobile_stylegan":  # its padded convolution rounds in another order
        torch.testing.assert_close(padded, image, rtol=1e-5, atol=1e-5)
    else:
        assert torch.equal(padded, image)


def test_dimension_of_the_paper(space: Pad) -> None:
    # 16 + 20 + 36 + 68 + 132 numbers per channel: 139,264 where every layer has 512.
    assert [shape[-1] for shape in list(space.own_shapes.values())[1:]] == [20, 36, 68, 132]
    assert [conv.resolution for conv in space.convs] == [4, 8, 16, 32]
    channels = [shape[0] for shape in space.own_shapes.values()]
    assert space.own_shapes["const"] == (channels[0], 4, 4)


def test_everything_in_the_code_acts_on_its_own_image(space: Pad) -> None:
    codes = space.from_random([1, 2])
    image = space.generator.synthesize(space.decode(codes))
    for name, value in codes.items():
        parts = range(value.shape[1]) if name == "ws" else [slice(None)]  # no row of ws is hidden
        for part in parts:
            changed = {**codes, name: value.clone()}
            changed[name][0, part] += 1
            moved = space.generator.synthesize(space.decode(changed))
            assert torch.equal(moved[1], image[1]), name
            assert not torch.allclose(moved[0], image[0]), (name, part)


def test_a_ring_reaches_the_rim_of_its_layer_alone(space: Pad) -> None:
    """One 3x3 convolution carries padding one pixel far, up to the normalisation of StyleGAN1's next layer."""
    generator, conv = space.generator, space.convs[2]
    point = next(
        (point.name for point in generator.feature_points if point.name == conv.name),
        f"x{conv.resolution}",  # MobileStyleGAN's points are its layers
    )
    codes = space.from_random([1])
    changed = {**codes, f"pad.{conv.name}": codes[f"pad.{conv.name}"] + 1}
    before, after = (generator.features(space.decode(code), [point])[point] for code in (codes, changed))
    differs = (before != after).any(dim=1)[0]
    assert not differs[1:-1, 1:-1].any()
    rim = torch.cat([differs[0], differs[-1], differs[:, 0], differs[:, -1]])
    assert rim.all()


def test_gradients_reach_input_and_rings(space: Pad) -> None:
    codes = {name: value.requires_grad_() for name, value in space.from_random([1]).items()}
    space.generator.synthesize(space.decode(codes)).square().sum().backward()
    for name, value in codes.items():
        assert value.grad is not None, name
        assert value.grad.abs().max() > 0, name


def test_where_there_is_nothing_to_pad(generator_of: Callable[[str], Generator]) -> None:
    with pytest.raises(UnsupportedError, match="pad/zplus: stylegan3 has no padding"):
        make_space("pad/zplus", generator_of("D1_stylegan3_t"))


def test_a_start_knows_no_feature_map(space: Pad) -> None:
    ws = space.generator.w_avg.expand(1, space.generator.num_ws, -1)
    assert set(space.start(ws, [1])) == set(space.shapes)
    with pytest.raises(UnsupportedError, match="no feature map"):
        space.start(ws, [1], "mean")
    with pytest.raises(ParamsError, match="pad/DETAIL"):
        make_space("pad/f16/wplus", space.generator)


def test_padding_reaches_the_generator(space: Pad) -> None:
    codes = {name: normal([5], value.shape[1:]) for name, value in space.from_random([1]).items()}
    padding = {
        conv.name: torch.full((1, conv.channels, *(conv.resolution + 2,) * 2), 99.0) for conv in space.convs
    }  # the inside is the feature's: what stands there must not matter
    for conv in space.convs:
        ring = map_of(codes[f"pad.{conv.name}"])
        inside = slice(1, -1)
        ring[..., inside, inside] = 99
        padding[conv.name] = ring
    expected = SynthesisInput(ws=codes["ws"], features={space.point.name: codes["const"]}, padding=padding)
    synthesize = space.generator.synthesize
    assert torch.equal(synthesize(space.decode(codes)), synthesize(expected))
