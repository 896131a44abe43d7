"""What may be said of a set of per-image numbers: mean and spread, confidence intervals, paired tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganvert.base.errors import ShapeError

__all__ = ["NonInferiority", "Summary", "bootstrap_mean", "non_inferiority", "summarise"]

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """Mean, sample standard deviation (nan for one value) and 95 % bootstrap interval of `count` values."""

    count: int
    missing: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class NonInferiority:
    """Outcome of :func:`non_inferiority`; the interval is of the mean difference (new minus reference)."""

    count: int
    mean_difference: float
    low: float
    high: float
    statistic: float
    p_t: float
    p_wilcoxon: float


def summarise(values: Sequence[float] | np.ndarray, seed: int = 0) -> Summary:
    """Describe finite values; nan ones (not measured) are counted as missing and left out.

    Without any value all figures are nan.
    """
    everything = np.asarray(values, dtype=np.float64).reshape(-1)
    present = everything[~np.isnan(everything)]
    low, high = bootstrap_mean(present, seed)
    return Summary(
        count=len(present),
        missing=len(everything) - len(present),
        mean=float(present.mean()) if len(present) else math.nan,
        sd=float(present.std(ddof=1)) if len(present) > 1 else math.nan,
        low=low,
        high=high,
    )


def bootstrap_mean(values: Sequence[float] | np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval (95 %, 10,000 resamples, seeded) of the mean; nan without values."""
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    # In slices, so that thousands of images do not make an index array of gigabytes.
    means = [
        values[generator.integers(len(values), size=(100, len(values)))].mean(axis=1) for _ in range(RESAMPLES // 100)
    ]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def non_inferiority(
    new: Sequence[float] | np.ndarray,
    reference: Sequence[float] | np.ndarray,
    *,
    margin: float,
    higher_is_better: bool = False,
    seed: int = 0,
) -> NonInferiority:
    """Test that `new` is not worse than `reference` by `margin` or more, on the same images.

    Paired and one-sided. With d = new - reference, H0 is mean d >= margin (for a score where higher is better,
    mean d <= -margin); a small p rejects it. Student's t on the mean, Wilcoxon's signed ranks beside it. The test
    that F/Z+ paper, arXiv 2307.08995 name without details (there with margin 1e-8).

    Args:
        new: one value per image.
        reference: the same images in the same order.
        margin: in the metric's own unit, not negative.
        higher_is_better: the metric's direction.
        seed: of the bootstrap interval.

    Raises:
        ShapeError: lengths differ, fewer than two images, or values that are not finite.
    """
    first, second = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (new, reference))
    if len(first) != len(second) or len(first) < 2 or not np.isfinite([first, second]).all():
        raise ShapeError(
            "non_inferiority: wanted two equally long lists of at least 2 finite values, paired by image, "
            f"got {len(first)} and {len(second)} ({np.isfinite(first).sum()} and {np.isfinite(second).sum()} finite)"
        )
    from scipy import stats

    difference = first - second
    worse_by = (-difference if higher_is_better else difference) - margin
    error = worse_by.std(ddof=1) / math.sqrt(len(worse_by))
    mean = float(worse_by.mean())
    # Without any spread the mean is known: the answer is certain either way.
    statistic = mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0
    low, high = bootstrap_mean(difference, seed)
    return NonInferiority(
        count=len(difference),
        mean_difference=float(difference.mean()),
        low=low,
        high=high,
        statistic=float(statistic),
        p_t=float(stats.t.cdf(statistic, len(worse_by) - 1)),
        p_wilcoxon=float(stats.wilcoxon(worse_by, alternative="less").pvalue) if worse_by.any() else 1.0,
    )
