"""The store draws an image once."""

from __future__ import annotations

from pathlib import Path

import torch

from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.sampling import (
    PictureStore,
)
from ganvert.sampling.draw import draw


def test_store_draws_what_is_missing(tiny_generator: MobileStyleGAN, tmp_path: Path, drawn: list[int]) -> None:
    PictureStore(tiny_generator, tmp_path, 10, 32).fill([1, 2])
    store = PictureStore(tiny_generator, tmp_path, 10, 32)
    store.fill([1, 2, 3])
    assert drawn == [1, 2, 3]
    images = torch.stack([image for _, image in draw(tiny_generator, [3, 1], 32)]).clamp(-1, 1)
    torch.testing.assert_close(store.get([3, 1]), images, rtol=0, atol=1 / 250)
    assert store.picture(3).size == (32, 32)
