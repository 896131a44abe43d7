"""Statistics against the sampling theory of the mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ganvert.scoring.statistics import bootstrap_mean, summarise


def test_bootstrap_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(3, 2, size=400)
    low, high = bootstrap_mean(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert bootstrap_mean(values) == (low, high) != bootstrap_mean(values, seed=1)


def test_summary_counts_what_is_missing() -> None:
    got = summarise([1.0, math.nan, 2.0, 6.0])
    assert (got.count, got.missing, got.mean) == (3, 1, 3.0)
    assert (got.low, got.high) == (1.0, 6.0)  # three values: all-lowest and all-highest are 1 resample in 27
    one = summarise([5.0])
    assert (one.mean, one.low, one.high) == (5, 5, 5)
    none = summarise([math.nan])
    assert none.count == 0 and math.isnan(none.mean) and math.isnan(none.low)
