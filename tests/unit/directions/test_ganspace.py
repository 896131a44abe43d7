"""GANSpace: PCA against scikit-learn's, signs, units, carried components."""

from __future__ import annotations

import numpy as np
import pytest

from ganvert.base.errors import ParamsError
from ganvert.directions.base import FinderInputs, Samples
from ganvert.directions.ganspace import GanspaceOptions, find_ganspace, principal_components


def samples(count: int = 500, d: int = 16) -> Samples:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(count, d))
    return Samples(z=z, w=(z * np.linspace(3, 0.5, d)) @ np.linalg.qr(rng.normal(size=(d, d)))[0], scores={}, num_ws=8)


@pytest.mark.parametrize("count", [500, 9])  # more and fewer samples than dimensions
def test_components_are_those_of_scikit_learn(count: int) -> None:
    from sklearn.decomposition import PCA

    w = samples(count).w
    vectors, variances = principal_components(w)
    theirs = PCA(svd_solver="full").fit(w)
    kept = min(count - 1, 16)
    assert vectors.shape == (kept, 16)
    assert variances == pytest.approx(theirs.explained_variance_[:kept], rel=1e-9)
    assert np.abs((vectors * theirs.components_[:kept]).sum(axis=1)) == pytest.approx(1, abs=1e-9)
    assert vectors @ vectors.T == pytest.approx(np.eye(kept), abs=1e-10)
    assert (np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1) > 0).all()


def test_unit_is_the_standard_deviation_of_the_component() -> None:
    data = samples()
    found = find_ganspace(FinderInputs(samples=data), GanspaceOptions(components=4, first_row=2, last_row=5))
    _, variances = principal_components(data.w)
    w, z = found[:4], found[4:]
    assert (
        [direction.name for direction in w]
        == [direction.name for direction in z]
        == [f"ganspace_{k}" for k in range(4)]
    )
    assert {direction.space for direction in w} == {"w"} and {direction.space for direction in z} == {"z"}
    assert [direction.unit for direction in w] == pytest.approx(np.sqrt(variances[:4]))
    assert [direction.unit for direction in z] == pytest.approx([1] * 4, abs=0.15)
    assert {(direction.first_row, direction.last_row) for direction in found} == {(2, 5)}
    total = [
        direction.quality["explained_variance"]
        for direction in find_ganspace(FinderInputs(samples=data), GanspaceOptions(components=16, spaces=("w",)))
    ]
    assert sum(total) == pytest.approx(1)


def test_both_transfers_agree_because_components_are_uncorrelated() -> None:
    data = samples()
    each, jointly = (
        find_ganspace(FinderInputs(samples=data), GanspaceOptions(components=5, spaces=("z",), transfer=form))
        for form in ("each", "jointly")
    )
    for direction, other in zip(each, jointly, strict=True):
        assert direction.vector == pytest.approx(other.vector, abs=1e-9)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ParamsError, match="at most 16"):
        find_ganspace(FinderInputs(samples=samples()), GanspaceOptions(components=17))
    with pytest.raises(ParamsError, match="8 rows"):
        find_ganspace(FinderInputs(samples=samples()), GanspaceOptions(last_row=9))
    with pytest.raises(ParamsError, match="at least 2 samples"):
        principal_components(np.zeros((1, 4)))
    with pytest.raises(ParamsError):
        GanspaceOptions(components=0)
    with pytest.raises(ParamsError):
        GanspaceOptions(spaces=())
