"""Codes and images depend on their seed alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganvert.compute.random import normal
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.sampling import (
    codes_of,
    generator_key,
    w_of,
    ws_of,
)
from ganvert.sampling.draw import draw


def test_pictures_depend_on_their_seed_alone(tiny_generator: MobileStyleGAN) -> None:
    one = dict(draw(tiny_generator, [5, 6, 7, 8, 9], 32, batch=2))
    other = dict(draw(tiny_generator, [9, 5], 32, batch=4))
    assert list(one) == [5, 6, 7, 8, 9]
    for seed, image in other.items():
        assert image.shape == (3, 32, 32)
        torch.testing.assert_close(image, one[seed], rtol=1e-4, atol=1e-5)
    z, w = codes_of(tiny_generator, [9, 5])
    assert torch.equal(z, normal([9, 5], (16,)))
    torch.testing.assert_close(w, tiny_generator.map_to_w(z))
    assert [part.shape for part in codes_of(tiny_generator, [])] == [(0, 16), (0, 16)]


def test_a_class_and_rows_that_differ(
    tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = generator_key(tiny_generator)
    monkeypatch.setattr(tiny_generator, "label", 4)
    assert generator_key(tiny_generator) == before + "-4"
    monkeypatch.undo()
    z, plain = codes_of(tiny_generator, range(3))
    assert torch.equal(ws_of(tiny_generator, range(3)), plain.unsqueeze(1).expand(-1, 8, -1))
    factors = torch.linspace(0, 2, 8).unsqueeze(1)
    mapping = type(tiny_generator)._mapping
    monkeypatch.setattr(tiny_generator, "rows_differ", True)
    monkeypatch.setattr(tiny_generator, "_mapping", lambda z, c: mapping(tiny_generator, z, c).unsqueeze(1) * factors)
    torch.testing.assert_close(w_of(tiny_generator, z), plain)  # the factors' mean is one
    torch.testing.assert_close(ws_of(tiny_generator, range(3))[:, -1], 2 * plain)
