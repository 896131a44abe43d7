"""Statistics against scipy, a printed t table, and the sampling theory of the mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ganvert.base.errors import ShapeError
from ganvert.scoring.statistics import bootstrap_mean, non_inferiority, summarise


def test_p_value_at_printed_critical_values() -> None:
    # Student's table, one-sided: t(0.95; 4) = 2.132, t(0.99; 9) = 2.821, t(0.95; 29) = 1.699.
    for count, critical, p in [(5, 2.132, 0.05), (10, 2.821, 0.01), (30, 1.699, 0.05)]:
        base = np.random.default_rng(count).normal(size=count)
        base = (base - base.mean()) / base.std(ddof=1)
        difference = base - critical / math.sqrt(count)  # mean over standard error is -critical
        got = non_inferiority(difference, np.zeros(count), margin=0.0)
        assert got.statistic == pytest.approx(-critical)
        assert got.p_t == pytest.approx(p, rel=5e-3)


@pytest.mark.parametrize("higher_is_better", [False, True])
@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_agrees_with_scipy_s_paired_test(higher_is_better: bool, margin: float) -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=50)
    new = reference + rng.normal(0.02, 0.2, size=50)
    got = non_inferiority(new, reference, margin=margin, higher_is_better=higher_is_better)
    if higher_is_better:  # H0: mean d <= -margin
        want = stats.ttest_rel(new, reference - margin, alternative="greater")
        ranks = stats.wilcoxon(new - reference + margin, alternative="greater")
    else:
        want = stats.ttest_rel(new, reference + margin, alternative="less")
        ranks = stats.wilcoxon(new - reference - margin, alternative="less")
    assert got.p_t == pytest.approx(want.pvalue, rel=1e-9)
    assert got.p_wilcoxon == pytest.approx(ranks.pvalue, rel=1e-6)
    assert got.mean_difference == pytest.approx((new - reference).mean())
    assert got.low < got.mean_difference < got.high


def test_equal_methods_are_certain_only_by_the_margin() -> None:
    values = np.arange(10.0)
    assert non_inferiority(values, values, margin=0.1).p_t == 0
    assert non_inferiority(values + 1, values, margin=0.5).p_t == 1
    exact = non_inferiority(values, values, margin=0.0)
    assert (exact.p_t, exact.p_wilcoxon) == (0.5, 1.0)


def test_bootstrap_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(3, 2, size=400)
    low, high = bootstrap_mean(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert bootstrap_mean(values) == (low, high) != bootstrap_mean(values, seed=1)


def test_summary_counts_what_is_missing() -> None:
    got = summarise([1.0, math.nan, 2.0, 6.0])
    assert (got.count, got.missing, got.mean) == (3, 1, 3.0)
    assert got.sd == pytest.approx(math.sqrt(7))
    assert (got.low, got.high) == (1.0, 6.0)  # three values: all-lowest and all-highest are 1 resample in 27
    one = summarise([5.0])
    assert (one.mean, one.low, one.high) == (5, 5, 5) and math.isnan(one.sd)
    none = summarise([math.nan])
    assert none.count == 0 and math.isnan(none.mean) and math.isnan(none.low)


@pytest.mark.parametrize(("new", "reference"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0, math.nan], [1.0, 2.0])])
def test_unpaired_or_unmeasured_values_are_refused(new: list[float], reference: list[float]) -> None:
    with pytest.raises(ShapeError, match="paired by image"):
        non_inferiority(new, reference, margin=0.0)
