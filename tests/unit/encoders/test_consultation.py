"""HFGI's head: it starts at the rows, brings back what they lack, and moves it where an edit has it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ganvert.base.errors import ParamsError
from ganvert.compute.random import normal
from ganvert.encoders import Encoder, EncoderSpec
from ganvert.encoders.heads.consultation import Aligner, ConsultationHead, Reader, warped
from ganvert.encoders.heads.taps import resized
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.spaces import make_space

NARROW = {"size": 32, "width": 8, "widths": [[8, 8, 16], [8, 8, 8, 8]]}
SPACE = "c32/wplus"


def spec_of(**heads: dict[str, object]) -> EncoderSpec:
    return EncoderSpec(space=SPACE, backbone="ir18", heads={"consultation": NARROW, **heads}, input_px=64)


@pytest.fixture
def head(tiny_generator: MobileStyleGAN) -> ConsultationHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ConsultationHead(tiny_generator, {64: 3}, **NARROW, residual=True).eval()  # type: ignore[arg-type]


def rows(generator: MobileStyleGAN, *seeds: int) -> Tensor:
    return generator.map(normal(seeds, (16,)))


def test_sizes_of_the_release() -> None:
    """Channels and sides of HFGI's networks at 256 px; the sums of parameters by an independent count."""

    def unit(c_in: int, c_out: int) -> int:
        return 2 * c_in + 9 * c_in * c_out + c_out + 9 * c_out**2 + 2 * c_out + (c_in != c_out) * c_out * (c_in + 2)

    def stem(c_in: int, c_out: int) -> int:
        return 9 * c_in * c_out + 3 * c_out

    def chain(*widths: int) -> int:
        return sum(unit(*pair) for pair in pairwise(widths))

    reader, aligner = Reader((32, 48, 64), 512, 512), Aligner((16, 32, 48, 64))
    maps = 2 * (9 * 64 * 512 + 512 + 9 * 512**2 + 512)
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (reader, aligner)]
    assert counts == [
        stem(3, 32) + chain(32, 48, 48, 48) + chain(48, 64, 64, 64) + maps,
        stem(6, 16)
        + chain(16, 32, 32, 32)
        + chain(32, 48, 48, 48)
        + chain(48, 64, 64, 64)
        + chain(112, 64, 32, 32)
        + chain(64, 32, 16, 16)
        + chain(32, 16, 3, 3),
    ]
    small = torch.zeros(1, 3, 32, 32)
    assert aligner.eval()(small, small).shape == small.shape
    assert [tuple(part.shape) for part in reader.eval()(small)] == [(1, 512, 8, 8)] * 2


def test_untrained_it_draws_what_the_rows_draw(tiny_generator: MobileStyleGAN) -> None:
    encoder = Encoder(spec_of(single={}), tiny_generator)
    prediction = encoder.encode(normal([0, 1], (3, 64, 64)))
    assert set(prediction) == encoder.parts == {"ws", "scale", "shift"}
    assert torch.equal(encoder.draw(prediction), tiny_generator.synthesize(ws=prediction["ws"]))


def test_a_residual_aligner_starts_at_the_distortion(head: ConsultationHead) -> None:
    distortion, picture = normal([1, 2], (3, 64, 64)), normal([3, 4], (3, 64, 64))
    head.train()
    assert torch.equal(head._aligned(distortion, picture), distortion)
    head.misalign = 0.0
    assert not head({64: picture})["alignment"].any()


def test_it_learns_to_bring_back_what_the_rows_lack(tiny_generator: MobileStyleGAN, head: ConsultationHead) -> None:
    """Pictures with a planted smooth shift of the map at 32 px, which no rows draw."""
    space, ws = make_space(SPACE, tiny_generator), rows(tiny_generator, *range(4))
    planted = {**space.from_ws(ws), "shift": 20 * resized(normal(range(4), (8, 4, 4)), 32)}
    with torch.no_grad():
        image = tiny_generator.synthesize(space.decode(planted))

    def lost() -> Tensor:
        code = space.adopt({**head({64: image}, ws), "ws": ws}, range(4))
        return (tiny_generator.synthesize(space.decode(code)) - image).square().mean()

    head.train()  # with the statistics of the four pictures
    head.misalign = 0.0
    before, optimiser = float(lost().detach()), torch.optim.Adam(head.parameters(), lr=0.001)
    for _ in range(12):
        optimiser.zero_grad()
        lost().backward()
        optimiser.step()
    assert float(lost().detach()) < 0.97 * before


def test_misalignment_keeps_what_lies_inside() -> None:
    ones, plane = torch.ones(200, 1, 16, 16), torch.linspace(-1, 1, 16).expand(1, 1, 16, 16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        moved = warped(ones, 0.5)
        torch.manual_seed(0)
        again = warped(ones, 0.5)
        bent = warped(plane.expand(50, -1, -1, -1), 0.3)
        torch.testing.assert_close(warped(plane.expand(9, -1, -1, -1), 0.0), plane.expand(9, -1, -1, -1))
    assert torch.equal(moved, again)
    touched = (moved != 1).flatten(1).any(dim=1)
    assert 0.8 < touched.float().mean() < 0.97  # nine of ten
    # Corners move inwards by at most half of half a side: the middle is of the picture, and nothing is beyond it.
    torch.testing.assert_close(moved[..., 4:12, 4:12], torch.ones(200, 1, 8, 8))
    assert moved.max() <= 1.0001
    # A homography takes lines to lines: values along a row of a plane stay monotone inside.
    assert (bent[..., 4:12, 4:12].diff(dim=-1) > 0).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"widths": [[8, 8], [8, 8, 8, 8]]}, "widths: wanted three positive ones and four"),
        ({"widths": [[8, 8, 0], [8, 8, 8, 8]]}, "widths: wanted three positive ones and four"),
        ({"misalign": 1.0}, "misalign from 0 to below 1, got 64 and 1.0"),
    ],
)
def test_options_are_checked(tiny_generator: MobileStyleGAN, options: dict[str, object], says: str) -> None:
    with pytest.raises(ParamsError, match=says):
        ConsultationHead(tiny_generator, {64: 3}, size=32, **options)  # type: ignore[arg-type]


def test_it_takes_one_pass() -> None:
    with pytest.raises(ParamsError, match="one reads the image, which takes one pass"):
        EncoderSpec(space=SPACE, backbone="ir18", heads={"last": {}, "consultation": NARROW}, passes=2)
