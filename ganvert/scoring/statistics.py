"""Statistics of one number per image: the mean and its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Summary", "bootstrap_mean", "summarise"]

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """Mean and 95 % bootstrap interval of `count` values; `missing` more were not measured."""

    count: int
    missing: int
    mean: float
    low: float
    high: float


def summarise(values: Sequence[float] | np.ndarray, seed: int = 0) -> Summary:
    """Summarise values; nan (not measured) counts as missing and is left out. Without any value all figures are nan.

    Args:
        values: one per image.
        seed: of the bootstrap.
    """
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    present = numbers[~np.isnan(numbers)]
    low, high = bootstrap_mean(present, seed)
    return Summary(
        count=len(present),
        missing=len(numbers) - len(present),
        mean=float(present.mean()) if len(present) else math.nan,
        low=low,
        high=high,
    )


def bootstrap_mean(values: Sequence[float] | np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean (95 %, 10,000 resamples); nan without values."""
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    # All methods have the same seed, so that equally many images are resampled alike.
    # In slices, because the indices of all resamples of thousands of images would take gigabytes.
    means = [
        values[generator.integers(len(values), size=(100, len(values)))].mean(axis=1) for _ in range(RESAMPLES // 100)
    ]
    # Percentiles, not mean +- 1.96 s: errors are skewed, and the interval may not reach below the smallest.
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)
