"""Colour, grey and sizes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageFont

from ganvert.base.errors import ShapeError, UnsupportedError
from ganvert.base.texts import shortened
from ganvert.images import area_resize, as_drawn, as_rgb, contact_sheet, from_pil


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_grey_becomes_three_equal_channels() -> None:
    grey = torch.randn(2, 1, 4, 4)
    assert torch.equal(as_rgb(grey), grey.repeat(1, 3, 1, 1))
    colour = torch.randn(2, 3, 4, 4)
    assert torch.equal(as_rgb(colour), colour)
    for wrong in (torch.zeros(2, 2, 4, 4), torch.zeros(3, 4, 4)):
        with pytest.raises(ShapeError, match=r"wanted \[N, 1 or 3, h, w\]"):
            as_rgb(wrong)


def test_pictures_as_a_generator_could_draw_them() -> None:
    picture = noise(32, 32)
    images = from_pil([picture])
    assert torch.equal(as_drawn(images, 3, 32), images)
    assert as_drawn(images, 3, 16).shape == as_drawn(images, 1, 16).shape == (1, 3, 16, 16)
    grey = as_drawn(images, 1, 32)
    assert torch.equal(grey[:, 0], grey[:, 1]) and torch.equal(grey[:, 0], grey[:, 2])
    theirs = from_pil([picture.convert("L")])
    torch.testing.assert_close(grey, theirs, rtol=0, atol=1.5 / 127.5)
    with pytest.raises(UnsupportedError, match="4 channels"):
        as_drawn(images, 4, 32)


def area_by_hand(line: list[Fraction], size: int) -> list[Fraction]:
    """The mean of a piecewise constant line over `size` equal parts, in exact fractions."""
    step = Fraction(len(line), size)
    return [
        sum((value * max(min((j + 1) * step, i + 1) - max(j * step, i), Fraction(0)) for i, value in enumerate(line)))
        / step
        for j in range(size)
    ]


@pytest.mark.parametrize(("height", "width", "size"), [(3, 3, 2), (7, 5, 3), (12, 9, 9), (30, 25, 12)])
def test_area_average_is_exact(height: int, width: int, size: int) -> None:
    values = np.random.default_rng(0).integers(-9, 9, (height, width))
    rows = [area_by_hand([Fraction(int(v)) for v in row], size) for row in values]
    columns = [area_by_hand([row[i] for row in rows], size) for i in range(size)]
    wanted = torch.tensor([[float(v) for v in line] for line in columns], dtype=torch.float64).T
    images = torch.from_numpy(values).double()[None, None].expand(2, 3, -1, -1)
    found = area_resize(images, size)
    torch.testing.assert_close(found, wanted.expand(2, 3, -1, -1), rtol=0, atol=1e-12)
    # In float32 too, also where autocast is on.
    with torch.autocast("cpu", torch.bfloat16):
        small = area_resize(images.float(), size)
    assert small.dtype == torch.float32
    torch.testing.assert_close(small.double(), found, rtol=0, atol=1e-5)


def test_area_average_of_three_pixels() -> None:
    line = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    found = area_resize(line.expand(1, 1, 3, 3), 2)
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([1 / 3, 5 / 3], dtype=torch.float64), rtol=0, atol=1e-15)


def test_area_average_at_whole_factors_is_a_pool() -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(area_resize(images, 16), F.avg_pool2d(images, 4))
    assert torch.equal(area_resize(images[..., :48, :], 16), F.avg_pool2d(images[..., :48, :], (3, 4)))
    assert area_resize(images, 64) is images


def test_gradient_of_the_area_average() -> None:
    images = torch.randn(1, 1, 5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: area_resize(x, 3), images)


def test_captions_are_as_wide_as_their_pictures_and_keep_both_ends() -> None:
    font = ImageFont.load_default(size=14)
    short = shortened("bioguide-B001223-after.jpg", 128, font.getlength)
    assert font.getlength(short) <= 128 and short.startswith("bio") and short.endswith("ter.jpg")
    assert shortened("me.jpg", 128, font.getlength) == "me.jpg"
    picture = Image.new("RGB", (64, 64), "white")
    sheet = contact_sheet([picture] * 2, 2, 64, ["W" * 99, "two\nlines"])
    assert sheet.size == (140, 4 + 64 + 4 + 4 + 2 * 18)
    pixels = np.asarray(sheet.convert("L"))[70:]
    assert pixels[:18, 4:68].min() < 128  # the first caption
    assert pixels[:, 68:72].min() > 200  # and nothing between the pictures
    assert pixels[18:, :68].min() > 200 and pixels[18:, 72:].min() < 128  # a second line below the second picture
