"""Paired differences, non-inferiority and orders, against closed forms and scipy's own tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ganvert.base.errors import ShapeError
from ganvert.study.comparison import ABSOLUTE_MARGIN, check_order, compare, non_inferiority


def values(*numbers: float) -> dict[str, float]:
    return {f"image{i}": number for i, number in enumerate(numbers)}


def test_two_photographs_have_the_cauchy_distribution() -> None:
    # One degree of freedom: t = mean / (|a - b| / 2), and the distribution is 1/2 + arctan(t) / pi.
    p_t, _ = non_inferiority([1.0, 3.0], 0.0)
    assert p_t == pytest.approx(0.5 + math.atan(2.0) / math.pi)


def test_the_margin_is_taken_off_every_difference() -> None:
    worse = np.random.default_rng(0).normal(0.3, 1, 12)
    p_t, p_wilcoxon = non_inferiority(worse, 0.5)
    assert p_t == pytest.approx(stats.ttest_1samp(worse, 0.5, alternative="less").pvalue)
    assert p_wilcoxon == pytest.approx(stats.wilcoxon(worse - 0.5, alternative="less").pvalue)
    assert p_t < non_inferiority(worse, 0.0)[0]


def test_signs_of_five_differences_have_32_cases() -> None:
    assert non_inferiority([-1.0, -2.0, -3.0, -4.0, -5.0], 0.0)[1] == pytest.approx(1 / 32)


@pytest.mark.parametrize(("worse", "p"), [([0.0, 0.0, 0.0], 0.0), ([1.0, 1.0], 1.0)])
def test_equal_differences_need_no_test(worse: list[float], p: float) -> None:
    # A tie is within the paper's margin.
    assert non_inferiority(worse, ABSOLUTE_MARGIN) == pytest.approx((p, p))


def test_one_photograph_decides_nothing() -> None:
    assert all(map(math.isnan, non_inferiority([-1.0], 0.0)))


@pytest.mark.parametrize("worse", [[math.nan, 1.0], [[1.0, 2.0]]])
def test_what_is_no_list_of_numbers_is_refused(worse: list) -> None:
    with pytest.raises(ShapeError, match="finite"):
        non_inferiority(worse, 0.0)


def test_only_photographs_that_both_have_are_compared() -> None:
    result = compare({"a": 2.0, "b": 5.0, "only": 99.0}, {"a": 1.0, "b": 1.0, "other": -99.0}, 0.0)
    assert (result.count, result.difference, result.low, result.high) == (2, 2.5, 1.0, 4.0)
    assert not result.non_inferior


def test_higher_is_better_turns_the_test_and_not_the_difference() -> None:
    low, high = values(0.1, 0.2, 0.15), values(0.9, 0.8, 0.95)
    assert compare(high, low, 0.0, higher_is_better=True).non_inferior
    assert not compare(high, low, 0.0).non_inferior
    assert compare(high, low, 0.0, higher_is_better=True).difference == pytest.approx(0.73333, abs=1e-4)


@pytest.mark.parametrize(
    ("larger", "smaller", "verdict"),
    [
        (values(3, 4, 5), values(1, 2, 3), "yes"),
        (values(1, 2, 3), values(3, 4, 5), "no"),
        (values(1, 5, 3, 4), values(2, 1, 3.5, 4), "open, as printed"),
        (values(2, 1, 3.5, 4), values(1, 5, 3, 4), "open, against"),
        (values(1), {}, "missing"),
    ],
)
def test_verdicts_on_orders(larger: dict[str, float], smaller: dict[str, float], verdict: str) -> None:
    assert check_order(larger, smaller).verdict == verdict
