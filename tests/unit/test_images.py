"""Colour, grey and sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ganvert.base.errors import ShapeError, UnsupportedError
from ganvert.images import as_drawn, as_rgb, from_pil


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
