"""Fréchet distances against closed forms, and what tuning does to the other samples of a generator."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganvert.base.errors import InputError, ShapeError, UnknownNameError
from ganvert.codes import Code, codes_of_inversion
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.inversion.presets import Inversion
from ganvert.scoring.code_metrics import CODE_METRICS, code_metric, features_of_samples
from ganvert.scoring.frechet import frechet_distance, frechet_shares, vgg16_features


def gaussian(rows: int, mean: Tensor, factor: Tensor) -> Tensor:
    """Rows whose mean and covariance are exactly `mean` and ``factor.T @ factor``."""
    noise = torch.randn(rows, len(mean), generator=torch.Generator().manual_seed(rows), dtype=torch.float64)
    noise -= noise.mean(dim=0)
    whitened = torch.linalg.qr(noise)[0] * math.sqrt(rows - 1)
    return whitened @ factor + mean


def test_closed_form_of_gaussians_that_commute() -> None:
    """For diagonal covariances it is |m_a - m_b|^2 and the squared difference of the deviations."""
    a = gaussian(50, torch.tensor([0.0, 1.0, 2.0]), torch.diag(torch.tensor([1.0, 2.0, 0.5]).double()))
    b = gaussian(90, torch.tensor([1.0, 1.0, 0.0]), torch.diag(torch.tensor([3.0, 2.0, 0.0]).double()))
    assert frechet_distance(a, b) == pytest.approx((1 + 0 + 4) + (4 + 0 + 0.25), rel=1e-9)


def test_covariances_that_do_not_commute() -> None:
    """Against the square root of the product of matrices, by its eigenvalues."""
    source = torch.Generator().manual_seed(3)
    factors = [torch.randn(4, 4, generator=source, dtype=torch.float64) for _ in range(2)]
    a, b = (gaussian(30 + i, torch.zeros(4), factor) for i, factor in enumerate(factors))
    s_a, s_b = (factor.T @ factor for factor in factors)
    root = torch.linalg.eigvals(s_a @ s_b).real.clamp(min=0).sqrt().sum()
    assert frechet_distance(a, b) == pytest.approx(float(s_a.trace() + s_b.trace() - 2 * root), rel=1e-9)


def test_fewer_rows_than_features() -> None:
    """Two points each, on one line: deviations sqrt(2) times half the distance, whatever the number of features."""
    line = torch.zeros(512, dtype=torch.float64)
    line[7] = 1.0
    a, b = (torch.stack([line * x for x in xs]) for xs in ((-1.0, 1.0), (-3.0, 3.0)))
    assert frechet_distance(a, b) == pytest.approx((3 * math.sqrt(2) - math.sqrt(2)) ** 2, rel=1e-9)
    assert frechet_distance(a, a + 2 * line) == pytest.approx(4.0, rel=1e-9)  # moved as a whole
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0.0, abs=1e-12)
    assert frechet_distance(a, a) == 0.0


def test_shares_have_no_bias_where_the_distance_is_a_square() -> None:
    """To a point, d = |m|^2 + tr S, which is the mean square but for tr S / N: just what the shares lack."""
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    shares = frechet_shares(rows, torch.zeros(2, 4, dtype=torch.float64))
    assert shares.shape == (6,)
    assert float(shares.mean()) == pytest.approx(float(rows.square().sum(dim=1).mean()), rel=1e-12)


def test_small_sets_of_one_population_are_nearer_by_their_shares() -> None:
    source = torch.Generator().manual_seed(9)
    many = torch.randn(2000, 6, generator=source, dtype=torch.float64)
    few = torch.randn(20, 10, 6, generator=source, dtype=torch.float64)
    plain = sum(frechet_distance(rows, many) for rows in few) / 20
    shared = float(torch.stack([frechet_shares(rows, many).mean() for rows in few]).mean())
    assert abs(shared) < plain / 3


def test_shares_of_two_rows_do_not_exist() -> None:
    with pytest.raises(ShapeError, match="three rows or more"):
        frechet_shares(torch.zeros(2, 4), torch.zeros(5, 4))


@pytest.mark.parametrize(("shape", "other"), [((1, 4), (5, 4)), ((5, 4), (5, 3)), ((5,), (5,))])
def test_sets_that_have_no_distance(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="two rows or more"):
        frechet_distance(torch.zeros(shape), torch.zeros(other))


def test_features_that_are_not_finite() -> None:
    with pytest.raises(InputError, match="finite"):
        frechet_distance(torch.zeros(2, 3), torch.tensor([[0.0, 0.0, math.nan], [1.0, 2.0, 3.0]]))


@pytest.mark.slow
def test_features_belong_to_pictures(assets: Path) -> None:
    pictures = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    both = vgg16_features(pictures, assets)
    assert both.shape == (3, 512) and both.dtype == torch.float64
    assert torch.equal(vgg16_features(pictures[1:2], assets)[0], both[1])
    grey = pictures[:, :1]
    assert torch.equal(vgg16_features(grey, assets), vgg16_features(grey.expand(-1, 3, -1, -1), assets))
    with pytest.raises(ShapeError, match="16 px or more"):
        vgg16_features(pictures[:, :, :8, :8], assets)


def code_of(generator: MobileStyleGAN, change: float | None) -> Code:
    """A code whose generator has its colours changed, or an untuned one."""
    ws = generator.w_avg.expand(1, generator.num_ws, -1)
    weights = [{} if change is None else {"to_img.bias": torch.full((12,), change)}]
    done = Inversion(
        "wplus", {"ws": ws}, [], torch.zeros(1, 1), torch.zeros(1, dtype=torch.long), ["ok"], [""], weights
    )
    return codes_of_inversion(done, ["a"], "mine", generator)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", CODE_METRICS)
def test_tuning_shows_in_other_samples(name: str, tiny_generator: MobileStyleGAN, assets: Path) -> None:
    measure = code_metric(f"{name}_6", assets)
    untuned, little, much = (measure(code_of(tiny_generator, change)) for change in (None, 0.02, 0.4))
    assert untuned == 0.0
    assert 0.0 < little < much
    old, new = (
        features_of_samples(generator, range(6), assets)
        for generator in (tiny_generator, code_of(tiny_generator, 0.4).space.generator)
    )
    assert much == pytest.approx(frechet_distance(new, old), rel=1e-9)


@pytest.mark.parametrize("name", ["frechet_vgg16", "frechet_vgg16_1", "nothing_64", "_64"])
def test_names_that_are_no_metric_of_codes(name: str) -> None:
    with pytest.raises(UnknownNameError):
        code_metric(name)
