"""InterFaceGAN: known normals come back, conditions hold, bad input is refused with a reason."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from ganvert.base.errors import ParamsError, UnknownNameError
from ganvert.directions.base import FinderInputs, Samples, unconditional
from ganvert.directions.boundary import project_out
from ganvert.directions.interfacegan import FITS, AttributeOptions, InterfaceganOptions, find_interfacegan


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def linear_samples(count: int = 4000, d: int = 12, seed: int = 0) -> tuple[Samples, np.ndarray]:
    """w = z A, scores = w . n_k (the second correlated with the first); returns the true normals too."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, d))
    w = z @ (np.linalg.qr(rng.normal(size=(d, d)))[0] * np.linspace(1.5, 1, d)) + 3.0
    a = unit(rng.normal(size=d))
    b = unit(a + unit(rng.normal(size=d)))
    return Samples(z=z, w=w, scores={"a": w @ a, "b": w @ b}, num_ws=6), np.stack([a, b])


def options(**changes: object) -> InterfaceganOptions:
    # Both halves: without a gap between the ends the separating plane is the true one, whatever the spread of w.
    base = InterfaceganOptions(attributes={"a": AttributeOptions(), "b": AttributeOptions()}, share=0.5, C=1.0)
    return dataclasses.replace(base, **changes)


def test_recovers_the_known_normal_with_its_sign_and_unit() -> None:
    samples, normals = linear_samples()
    found = {
        direction.name: direction
        for direction in find_interfacegan(FinderInputs(samples=samples), options(spaces=("w",)))
    }
    for name, normal in zip("ab", normals, strict=True):
        direction = found[name]
        assert direction.vector @ normal > 0.99
        assert np.linalg.norm(direction.vector) == pytest.approx(1, abs=1e-12)
        assert direction.unit == pytest.approx(np.std(samples.w @ direction.vector, ddof=1))
        assert direction.quality["validation_accuracy"] > 0.98
        assert direction.quality["correlation"] > 0.98
        # score = w . normal, so one unit along the normal changes it by the unit itself
        assert direction.quality["change_per_unit"] == pytest.approx(direction.unit, rel=0.05)
        assert (direction.first_row, direction.last_row) == (0, 6)


def test_a_longer_step_is_a_larger_unit_of_the_same_direction() -> None:
    samples, _ = linear_samples(200)
    near, far = (
        find_interfacegan(
            FinderInputs(samples=samples),
            options(fit="ridge", spaces=("w",), attributes={"a": AttributeOptions(step=step)}),
        )[0]
        for step in (1.0, 2.5)
    )
    assert np.array_equal(far.vector, near.vector) and far.unit == pytest.approx(2.5 * near.unit)
    assert far.quality["change_per_unit"] == pytest.approx(2.5 * near.quality["change_per_unit"])
    assert far.quality["correlation"] == near.quality["correlation"]
    assert (far.quality["score"], far.quality["step"]) == ("a", 2.5)


def test_agrees_with_the_other_linear_svm_of_scikit_learn() -> None:
    from sklearn.svm import LinearSVC

    samples, _ = linear_samples()
    direction = find_interfacegan(
        FinderInputs(samples=samples), options(spaces=("w",), attributes={"a": AttributeOptions()})
    )[0]
    order = np.argsort(samples.scores["a"])
    label = np.repeat([0, 1], 2000)
    other = LinearSVC(dual=False, C=1.0).fit(samples.w[order] - 3.0, label).coef_[0]
    assert direction.vector @ unit(other) > 0.99


def test_halves_agree_where_the_samples_and_not_chance_decide() -> None:
    samples, _ = linear_samples(count=1000)
    noise = np.random.default_rng(3).normal(size=1000)
    samples = dataclasses.replace(samples, scores={**samples.scores, "noise": noise})
    attributes = {"a": AttributeOptions(condition_on=("b",)), "noise": AttributeOptions()}
    a, a_z, chance, _ = find_interfacegan(FinderInputs(samples=samples), options(attributes=attributes))
    assert a.quality["halves_cosine"] > 0.95 and a_z.quality["halves_cosine"] == a.quality["halves_cosine"]
    assert abs(chance.quality["halves_cosine"]) < 0.6
    # Both are orthogonal to their own half's condition, so that the figure is of the direction and not of its normal.
    halves = FITS["svm"](samples.w, samples.scores["a"], "a", options(attributes=attributes)).halves
    assert halves is not None
    first, second = halves
    assert a.quality["halves_cosine"] != pytest.approx(first @ second, abs=1e-9)
    # 30 samples are enough for one fit and too few for two.
    few = dataclasses.replace(samples, z=samples.z[:30], w=samples.w[:30], scores={"a": samples.scores["a"][:30]})
    (direction,) = find_interfacegan(
        FinderInputs(samples=few), options(attributes={"a": AttributeOptions()}, spaces=("w",))
    )
    assert "halves_cosine" not in direction.quality


def test_z_direction_is_the_one_that_moves_w_along_the_normal() -> None:
    # With w = z A a score w . n is z . (A n), and equation 6 finds exactly that direction as N grows.
    samples, normals = linear_samples(count=20000)
    matrix = np.linalg.lstsq(samples.z, samples.w - samples.w.mean(axis=0), rcond=None)[0]
    found = {
        direction.name: direction
        for direction in find_interfacegan(FinderInputs(samples=samples), options(spaces=("z",), share=2000.0))
    }
    for name, normal in zip("ab", normals, strict=True):
        assert found[name].vector @ unit(matrix @ normal) > 0.99
        assert found[name].unit == pytest.approx(1, abs=0.03)  # z is standard normal
        assert found[name].quality["correlation"] > 0.98


@pytest.mark.parametrize("space", ["w", "z"])
def test_conditioned_direction_leaves_the_condition_alone(space: str) -> None:
    samples, _ = linear_samples()
    attributes = {"a": AttributeOptions(condition_on=("b",)), "b": AttributeOptions()}
    a, b = find_interfacegan(FinderInputs(samples=samples), options(spaces=(space,), attributes=attributes))
    assert abs(a.vector @ b.vector) < 1e-12
    plain = find_interfacegan(FinderInputs(samples=samples), options(spaces=(space,)))[0]
    assert a.quality["correlation"] < plain.quality["correlation"]
    assert set(a.quality["leak"]) == {"b"} and not plain.quality["leak"]


@pytest.mark.parametrize("conditions", [{"condition_on": ("b",)}, {"condition_partly": {"b": 0.5}}])
def test_the_same_without_conditions_is_the_direction_without_them(conditions: dict[str, Any]) -> None:
    samples, _ = linear_samples(300)
    attribute = AttributeOptions(**conditions, step=2.0, range=(-1, 1), range_free=(-3, 2))
    attributes = {"a": attribute, "b": AttributeOptions()}
    wanted = options(spaces=("w",), attributes=attributes, unconditional=True)
    found = {one.name: one for one in find_interfacegan(FinderInputs(samples=samples), wanted)}
    assert list(found) == list(wanted.found) == ["a", "b", "a_free"]
    plain = find_interfacegan(
        FinderInputs(samples=samples), options(spaces=("w",), attributes={"a": AttributeOptions(step=2.0)})
    )[0]
    free = found["a_free"]
    assert (free.vector == plain.vector).all() and free.unit == plain.unit
    assert (free.stands_in, found["a"].stands_in) == ("a", "")
    assert (free.tested, found["a"].tested) == ((-3, 2), (-1, 1))
    assert unconditional({(one.name, one.space): one for one in found.values()}, found["a"]) is free
    own = {**attributes, "a_free": AttributeOptions(score="a")}
    assert not options(attributes=own, unconditional=True).stand_ins


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_projection_is_orthogonal_to_all_and_nearest(count: int) -> None:
    rng = np.random.default_rng(count)
    vector, conditions = unit(rng.normal(size=30)), rng.normal(size=(count, 30))
    got = project_out(vector, conditions)
    assert np.abs(conditions @ got).max(initial=0) < 1e-12
    assert np.linalg.norm(got) == pytest.approx(1)
    solved = np.linalg.lstsq(conditions.T, vector, rcond=None)[0] if count else np.zeros(0)
    assert got == pytest.approx(unit(vector - conditions.T @ solved), abs=1e-12)


def test_a_share_of_a_condition_leaves_the_rest_of_it() -> None:
    """Products with the conditions are 1 - share of what they were; nothing outside of their space changes."""
    rng = np.random.default_rng(3)
    vector, conditions, shares = rng.normal(size=9), rng.normal(size=(3, 9)), [0.25, 1.0, 0.6]
    found = project_out(vector, conditions, shares)
    basis = np.linalg.qr(conditions.T)[0]
    outside = vector - basis @ (basis.T @ vector)
    length = outside @ outside / (found @ outside)  # of the vector before it was normalised
    np.testing.assert_allclose(conditions @ found * length, (1 - np.array(shares)) * (conditions @ vector), atol=1e-12)
    np.testing.assert_allclose(length * (found - basis @ (basis.T @ found)), outside, atol=1e-12)
    assert np.linalg.norm(found) == pytest.approx(1)
    np.testing.assert_allclose(project_out(vector, conditions, [1.0] * 3), project_out(vector, conditions), atol=1e-12)
    np.testing.assert_allclose(project_out(vector, conditions, [0.0] * 3), unit(vector), atol=1e-12)


def test_partly_conditioned_lies_between() -> None:
    samples, normals = linear_samples(400)
    along = []
    for conditions in ({}, {"condition_partly": {"b": 0.5}}, {"condition_on": ("b",)}):
        attribute = AttributeOptions(**conditions)
        one = options(fit="ridge", strength=1e-6, spaces=("w",), attributes={"a": attribute})
        (direction,) = find_interfacegan(FinderInputs(samples=samples), one)
        along.append(float(direction.vector @ normals[1]))
        assert set(direction.quality["leak"]) == set(attribute.shares)
    free, half, none = along
    # n = a, whose product with b is c: (c / 2) / |a - c b / 2| in the middle.
    assert free == pytest.approx(normals[0] @ normals[1], abs=1e-4)
    assert half == pytest.approx(free / 2 / np.linalg.norm(normals[0] - free / 2 * normals[1]), abs=1e-4)
    assert none == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("bad", [{"b": 0.0}, {"b": 1.0}, {"b": -1.0}, {"b": float("nan")}, {"a": 0.5}, {"c": 0.5}])
def test_shares_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ParamsError, match=r"attributes\.a"):
        options(attributes={"a": AttributeOptions(condition_on=("c",), condition_partly=bad)})


def test_projection_stays_exact_when_conditions_nearly_agree() -> None:
    rng = np.random.default_rng(1)
    first = unit(rng.normal(size=30))
    conditions = np.stack([first, unit(first + 1e-3 * rng.normal(size=30))])
    assert np.abs(conditions @ project_out(unit(rng.normal(size=30)), conditions)).max() < 1e-6


def test_projection_of_a_mix_of_conditions_is_refused() -> None:
    conditions = np.eye(5)[:2]
    with pytest.raises(ParamsError, match="nothing is left"):
        project_out(unit(conditions.sum(axis=0)), conditions)


def test_unscored_samples_are_left_out_of_the_fit() -> None:
    samples, normals = linear_samples()
    score = samples.scores["a"].copy()
    score[::3] = np.nan
    inputs = FinderInputs(samples=dataclasses.replace(samples, scores={"a": score}))
    (direction,) = find_interfacegan(inputs, options(spaces=("w",), attributes={"a": AttributeOptions()}))
    assert direction.vector @ normals[0] > 0.99
    assert np.isfinite(direction.quality["correlation"])


def test_same_samples_same_directions() -> None:
    samples, _ = linear_samples()
    first, second = (find_interfacegan(FinderInputs(samples=samples), options()) for _ in range(2))
    assert all(
        np.array_equal(x.vector, y.vector) and x.quality == y.quality for x, y in zip(first, second, strict=True)
    )


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"attributes": {"age": AttributeOptions()}}, UnknownNameError, "unknown score 'age'; known: a, b"),
        ({"attributes": {"a": AttributeOptions(condition_on=("c",))}}, UnknownNameError, "unknown score 'c'"),
        ({"attributes": {"a": AttributeOptions(first_row=3, last_row=9)}}, ParamsError, r"rows \[3, 9\)"),
        ({"share": 0.001}, ParamsError, "takes 4 at each end"),
    ],
)
def test_what_cannot_be_found_is_refused(changes: dict[str, object], error: type[Exception], message: str) -> None:
    samples, _ = linear_samples()
    with pytest.raises(error, match=message):
        find_interfacegan(FinderInputs(samples=samples), options(**changes))


def test_a_constant_score_is_refused() -> None:
    samples, _ = linear_samples()
    flat = dataclasses.replace(samples, scores={"a": np.ones(len(samples.z))})
    with pytest.raises(ParamsError, match="overlap at score 1"):
        find_interfacegan(FinderInputs(samples=flat), options(attributes={"a": AttributeOptions()}))


def test_a_rare_attribute_has_a_share_of_its_own() -> None:
    """A tenth wears glasses, all others score 0: at the share of all attributes both ends would hold zeros."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(1000, 4)).astype(np.float32)
    score = np.where(w[:, 0] > np.quantile(w[:, 0], 0.9), 0.15 + 0.01 * w[:, 0], 0.0)
    samples = Samples(z=w, w=w, scores={"glasses": score}, num_ws=4)
    with pytest.raises(ParamsError, match="overlap at score 0"):
        find_interfacegan(FinderInputs(samples=samples), options(attributes={"glasses": AttributeOptions()}))
    own = options(attributes={"glasses": AttributeOptions(share=0.1)}, spaces=("w",))
    (direction,) = find_interfacegan(FinderInputs(samples=samples), own)
    assert direction.vector[0] > 0.95
    with pytest.raises(ParamsError, match=r"attributes\.glasses\.share"):
        options(attributes={"glasses": AttributeOptions(share=0.0)})


@pytest.mark.parametrize("bad", [{"share": 0.0}, {"C": -1.0}, {"spaces": ()}, {"attributes": {}}])
def test_options_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ParamsError):
        options(**bad)
    with pytest.raises(ParamsError, match="itself"):
        options(attributes={"a": AttributeOptions(condition_on=("a",))})


@pytest.mark.parametrize("step", [0.0, -1.0, 11.0, float("nan")])
def test_a_step_out_of_range_is_refused(step: float) -> None:
    with pytest.raises(ParamsError, match=r"attributes\.a\.step: wanted more than 0, at most 10"):
        options(attributes={"a": AttributeOptions(step=step)})


def test_a_tested_range_is_a_figure_of_directions_in_w() -> None:
    """It was seen on codes of W; a step of Z changes pictures by another measure."""
    samples, _ = linear_samples(200)
    attributes = {"a": AttributeOptions(range=(-3.0, 4.0)), "b": AttributeOptions()}
    found = find_interfacegan(FinderInputs(samples=samples), options(fit="ridge", attributes=attributes))
    known = {(direction.name, direction.space): direction.tested for direction in found}
    assert known == {("a", "w"): (-3, 4), ("a", "z"): None, ("b", "w"): None, ("b", "z"): None}


@pytest.mark.parametrize("bad", [(0.0, 3.0), (-3.0, 0.0), (3.0, -3.0), (-101.0, 3.0), (float("nan"), 3.0)])
def test_a_range_without_0_inside_is_refused(bad: tuple[float, float]) -> None:
    for key in ("range", "range_free"):
        with pytest.raises(ParamsError, match=rf"attributes\.a\.{key}: wanted one amount below 0 and one above"):
            options(attributes={"a": AttributeOptions(condition_on=("b",), **{key: bad}), "b": AttributeOptions()})


def test_a_range_of_what_is_not_found_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"attributes\.a\.range_free: it has no conditions"):
        options(attributes={"a": AttributeOptions(range_free=(-1, 1))})
