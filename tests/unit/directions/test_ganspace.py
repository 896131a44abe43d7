"""GANSpace: PCA against scikit-learn's, signs, units, carried components."""

from __future__ import annotations

import numpy as np
import pytest

from ganvert.base import params
from ganvert.base.errors import ParamsError, UnknownNameError
from ganvert.directions.base import Direction, FinderInputs, Samples
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


def test_a_named_component_is_the_one_most_like_a_direction() -> None:
    data = samples()
    vectors, _ = principal_components(data.w)
    rng = np.random.default_rng(1)
    mixed = -vectors[6] + 0.2 * rng.normal(size=16) / 4  # another fit has other noise, and here the other sign
    per_row = np.stack([vectors[3], vectors[3]]) / np.sqrt(2)
    given = {
        ("beard", "w"): Direction("beard", "w", "x", mixed / np.linalg.norm(mixed), 1.0, 0, 8),
        ("hair", "wplus"): Direction("hair", "wplus", "x", per_row, 1.0, 2, 4),
        ("odd", "w"): Direction("odd", "w", "x", vectors.mean(axis=0) * 4, 1.0, 0, 8),
    }
    inputs = FinderInputs(samples=data, directions=given)

    def options(**named: dict[str, object]) -> GanspaceOptions:
        return params.build(GanspaceOptions, {"components": 0, "named": named, "directions": "d.parquet"}, "")

    chosen = options(
        beard={"like": "beard", "first_row": 5, "last_row": 7},
        hair={"like": "hair"},
        ear={"component": 3, "flip": True},
    )
    found = {(direction.name, direction.space): direction for direction in find_ganspace(inputs, chosen)}
    assert set(found) == {(name, space) for name in ("beard", "hair", "ear") for space in ("w", "z")}
    beard = found["beard", "w"]
    assert beard.vector == pytest.approx(-vectors[6], abs=1e-12) and (beard.first_row, beard.last_row) == (5, 7)
    assert beard.quality["component"] == 6 and beard.quality["cosine"] == pytest.approx(
        -vectors[6] @ given["beard", "w"].vector
    )
    assert found["hair", "w"].vector == pytest.approx(vectors[3]) == -found["ear", "w"].vector
    assert found["hair", "z"].vector == pytest.approx(-found["ear", "z"].vector)
    with pytest.raises(ParamsError, match=r"like 'odd' is .* with a cosine of 0.25, wanted 0.5"):
        find_ganspace(inputs, options(odd={"like": "odd"}))
    with pytest.raises(UnknownNameError, match="unknown direction in w 'bear'"):
        find_ganspace(inputs, options(bear={"like": "bear"}))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"named": {"a": {}}}, "either component"),
        ({"named": {"a": {"component": 1, "like": "b"}}, "directions": "d"}, "either component"),
        ({"named": {"a": {"component": -1}}}, "0 or more"),
        ({"named": {"a": {"like": "b"}}}, "directions: FILE"),
        ({"named": {"a": {"like": "b", "flip": True}}, "directions": "d"}, "already points the same way"),
        ({"named": {"ganspace_1": {"component": 1}}}, "choose another"),
        ({"min_cosine": 2}, "0 to 1"),
    ],
)
def test_named_components_that_mean_nothing_are_refused(raw: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        params.build(GanspaceOptions, raw, "ganspace")


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
