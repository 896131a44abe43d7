"""The stand-in for early steps against numpy, and images that do not influence each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from ganvert.base.errors import UnsupportedError
from ganvert.compute.random import normal
from ganvert.generators.base import SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import area_resize
from ganvert.inversion.preview import Fitted, Preview


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def wide() -> MobileStyleGAN:
    """32 px, 256 channels at 8 px: as many equations as the FFHQ generator has."""
    generator = MobileStyleGAN([16, 256, 64], z_dim=16, w_dim=16, mapping_layers=2).eval().requires_grad_(False)
    source = torch.Generator().manual_seed(0)
    for value in generator.state_dict().values():
        value.copy_(torch.randn(value.shape, generator=source) * 0.5)
    return generator


def codes(generator: MobileStyleGAN, *seeds: int) -> SynthesisInput:
    return SynthesisInput(ws=generator.map(normal(seeds, (16,))))


def test_it_equals_the_picture_where_it_was_fitted(tiny_generator: MobileStyleGAN) -> None:
    preview, here = Preview(tiny_generator, 16), codes(tiny_generator, 1, 2)
    drawn = preview.draw(here, Fitted.join(preview.fit(here)))
    torch.testing.assert_close(drawn, area_resize(tiny_generator.synthesize(here), 32), rtol=0, atol=1e-5)


def test_it_is_ridge_regression(tiny_generator: MobileStyleGAN) -> None:
    """numpy, in float64, from the definition: every pixel of a 2 x 2 block is a map of the activation there and 1."""
    preview, here = Preview(tiny_generator, 16), codes(tiny_generator, 3)
    (fitted,) = preview.fit(here)
    picture = area_resize(tiny_generator.synthesize(here), 32)[0].double().numpy()
    activation = tiny_generator.features(here, ["x16"])["x16"][0].double().numpy()
    a = np.concatenate([activation, np.ones((1, 16, 16))]).reshape(-1, 256).T
    blocks = picture.reshape(3, 16, 2, 16, 2).transpose(1, 3, 0, 2, 4).reshape(256, 12)
    square = a.T @ a
    ridge = 1e-4 * np.trace(square) / len(square)
    want = np.linalg.solve(square + ridge * np.eye(len(square)), a.T @ blocks)
    np.testing.assert_allclose(fitted.map[0].numpy(), want, rtol=2e-3, atol=2e-4)
    assert 0 < fitted.residual.abs().mean() < 0.5 * np.abs(picture).mean()


def test_images_are_fitted_by_themselves(wide: MobileStyleGAN, two_threads: None) -> None:
    """Batched systems of this size fail on a CPU with two threads (torch 2.13)."""
    preview = Preview(wide, 8)
    fitted = preview.fit(codes(wide, 1, 2, 3))
    for seed, single in enumerate(fitted, start=1):
        (alone,) = preview.fit(codes(wide, seed))
        torch.testing.assert_close(
            single.residual, alone.residual, rtol=0, atol=0.02 * float(alone.residual.abs().max())
        )
    joined = Fitted.join(fitted)
    assert joined.map.shape == (3, 257, 12)
    assert torch.equal(joined.residual[1:2], fitted[1].residual)
    assert Fitted.join(fitted[:1]) is fitted[0]


def test_a_feature_that_spares_something_is_wanted(tiny_generator: MobileStyleGAN) -> None:
    assert Preview(tiny_generator, 64).resolution == 64  # from the feature of half that
    assert Preview(tiny_generator, 31).resolution == 32
    with pytest.raises(UnsupportedError, match="no feature of at most 2 px"):
        Preview(tiny_generator, 2)
