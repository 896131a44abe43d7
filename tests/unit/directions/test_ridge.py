"""The ridge fit: planted normals come back, nearer than the SVM's from few noisy samples; folds are honest."""

from __future__ import annotations

import numpy as np
import pytest

from ganvert.base.errors import ParamsError
from ganvert.directions.base import FinderInputs, Samples
from ganvert.directions.boundary import FitOptions, judged
from ganvert.directions.interfacegan import FITS, AttributeOptions, InterfaceganOptions, find_interfacegan
from ganvert.directions.ridge import fit_ridge


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def planted(count: int, d: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes that vary unequally, a unit normal, and scores along it with noise of `noise` times their deviation."""
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(count, d)) * np.linspace(1.5, 0.5, d) + 2.0
    normal = unit(rng.normal(size=d))
    score = codes @ normal
    return codes, normal, score + noise * score.std() * rng.normal(size=count)


def test_a_planted_normal_comes_back() -> None:
    codes, normal, score = planted(2000, 40, 0.5)
    boundary = fit_ridge(codes, score, "a", FitOptions(fit="ridge"))
    assert boundary.normal @ normal > 0.98 and np.linalg.norm(boundary.normal) == pytest.approx(1)
    assert boundary.halves is not None and boundary.halves[0] @ boundary.halves[1] > 0.95
    # Noise of half the signal's deviation leaves a correlation of 1 / sqrt(1.25).
    along = judged(codes, [boundary], lambda normals, _: normals)
    assert np.corrcoef(along, score)[0, 1] == pytest.approx(0.894, abs=0.02)


def test_few_noisy_samples_decide_it_better_than_the_svm() -> None:
    codes, normal, score = planted(600, 200, 0.7)
    ridge, svm = (FITS[fit](codes, score, "a", FitOptions()) for fit in ("ridge", "svm"))
    assert ridge.normal @ normal > svm.normal @ normal + 0.05
    assert ridge.halves is not None and svm.halves is not None
    assert ridge.halves[0] @ ridge.halves[1] > svm.halves[0] @ svm.halves[1] + 0.05


def test_equals_the_normal_equations_at_a_given_strength() -> None:
    codes, _, score = planted(100, 10, 0.3)
    boundary = fit_ridge(codes, score, "a", FitOptions(strength=2.0))
    centred = codes - codes.mean(axis=0)
    penalty = 2.0 * np.trace(centred.T @ centred) / 10
    slopes = np.linalg.solve(centred.T @ centred + penalty * np.eye(10), centred.T @ (score - score.mean()))
    assert boundary.normal == pytest.approx(unit(slopes), abs=1e-9)
    assert boundary.quality["strength"] == 2.0


def test_noise_is_held_back_and_found_out() -> None:
    codes, _, _ = planted(300, 100, 0.0)
    noise = np.random.default_rng(5).normal(size=300)
    boundary = fit_ridge(codes, noise, "noise", FitOptions())
    along = judged(codes, [boundary], lambda normals, _: normals)
    # Below 0 rather than around it: what chance gives nine folds it takes from the tenth.
    assert -0.3 < np.corrcoef(along, noise)[0, 1] < 0.1
    assert abs(boundary.quality["validation_accuracy"] - 0.5) < 0.1
    assert boundary.halves is not None and abs(boundary.halves[0] @ boundary.halves[1]) < 0.35


def test_more_dimensions_than_samples() -> None:
    codes, normal, score = planted(120, 400, 0.2)
    boundary = fit_ridge(codes, score, "a", FitOptions())
    assert boundary.normal @ normal > 0.35
    assert boundary.quality["validation_accuracy"] > 0.6


def test_missing_scores_are_left_out_and_rare_ones_do_not_flatter() -> None:
    codes, _, score = planted(500, 20, 0.3)
    hole = np.arange(500) % 3 == 0
    holed = np.where(hole, np.nan, score)
    boundary = fit_ridge(codes, holed, "a", FitOptions())
    kept = fit_ridge(codes[~hole], score[~hole], "a", FitOptions(strength=boundary.quality["strength"]))
    assert boundary.normal == pytest.approx(kept.normal, abs=1e-9)
    # One in twenty has it, by chance: a fit that finds nobody would be right 19 times out of 20.
    rare = (np.random.default_rng(1).random(500) < 0.05).astype(float)
    assert abs(fit_ridge(codes, rare, "rare", FitOptions()).quality["validation_accuracy"] - 0.5) < 0.2


def test_no_fold_has_seen_its_samples() -> None:
    codes, _, score = planted(100, 5, 0.1)
    before = fit_ridge(codes, score, "a", FitOptions(strength=1.0))
    normal, held_out = before.folds[3]
    changed = score.copy()
    changed[held_out] += 100.0
    after = fit_ridge(codes, changed, "a", FitOptions(strength=1.0))
    assert np.array_equal(after.folds[3][0], normal)
    assert not np.allclose(after.folds[4][0], before.folds[4][0])
    assert np.sum([rows for _, rows in before.folds], axis=0).tolist() == [1] * 100


@pytest.mark.parametrize("space", ["w", "z"])
def test_the_finder_takes_it_with_conditions_and_scores_of_another_name(space: str) -> None:
    codes, normal, score = planted(1500, 12, 0.2)
    other = codes @ unit(normal + unit(np.random.default_rng(7).normal(size=12)))
    samples = Samples(z=codes - 2.0, w=codes, scores={"smile_expression": score, "yaw": other}, num_ws=4)
    attributes = {
        "smile": AttributeOptions(score="smile_expression", condition_on=("yaw",)),
        "yaw": AttributeOptions(),
    }
    wanted = InterfaceganOptions(fit="ridge", attributes=attributes, spaces=(space,))
    smile, yaw = find_interfacegan(FinderInputs(samples=samples), wanted)
    assert (smile.name, smile.method) == ("smile", "interfacegan")
    assert abs(smile.vector @ yaw.vector) < 1e-12
    assert set(smile.quality["leak"]) == {"yaw"} and smile.quality["correlation"] > 0.4
    assert yaw.quality["correlation"] > 0.95
    with pytest.raises(ParamsError, match="another attribute of the same score has another share"):
        shares = {"a": AttributeOptions(score="yaw", share=0.1), "yaw": AttributeOptions()}
        find_interfacegan(FinderInputs(samples=samples), InterfaceganOptions(attributes=shares))


@pytest.mark.parametrize(
    ("score", "message"),
    [(np.ones(100), "every score is 1"), (np.r_[np.arange(19.0), np.full(81, np.nan)], "19 of 100 have a score")],
)
def test_what_cannot_be_fitted_is_refused(score: np.ndarray, message: str) -> None:
    codes, _, _ = planted(100, 5, 0.1)
    with pytest.raises(ParamsError, match=message):
        fit_ridge(codes, score, "a", FitOptions())
    with pytest.raises(ParamsError, match="strength"):
        FitOptions(strength=0.0)
    with pytest.raises(ParamsError, match="fit: wanted one of svm, ridge, got 'lasso'"):
        FitOptions(fit="lasso")  # type: ignore[arg-type]
