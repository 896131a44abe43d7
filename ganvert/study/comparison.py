"""Comparisons of methods on the same photographs: paired differences, non-inferiority, and orders that papers print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ganvert.base.errors import ShapeError
from ganvert.scoring.statistics import bootstrap_mean

__all__ = [
    "ABSOLUTE_MARGIN",
    "RELATIVE_MARGIN",
    "SIGNIFICANT",
    "Comparison",
    "Order",
    "check_order",
    "compare",
    "non_inferiority",
]

#: The F/Z+ paper's margin (section 4): almost a test of superiority.
ABSOLUTE_MARGIN = 1e-8
#: A margin that means something: this part of the reference's mean.
RELATIVE_MARGIN = 0.02
#: Below it a p-value counts.
SIGNIFICANT = 0.05
_EXACT = 25  # photographs up to which Wilcoxon's distribution is exact

#: Image id to value.
Values = Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """A method against a reference on the photographs that both have.

    Attributes:
        count: photographs.
        difference: mean of method minus reference; nan without photographs.
        low: of its 95 % bootstrap interval.
        high: likewise.
        margin: how much worse the method may be, in the metric's units.
        p_t: of the paired one-sided t test; small where the method is not worse by the margin. nan below 2 photographs.
        p_wilcoxon: of the signed-rank test.
    """

    count: int
    difference: float
    low: float
    high: float
    margin: float
    p_t: float
    p_wilcoxon: float

    @property
    def non_inferior(self) -> bool:
        """Whether the t test says so."""
        return self.p_t < SIGNIFICANT


def compare(method: Values, reference: Values, margin: float, *, higher_is_better: bool = False) -> Comparison:
    """Compare a method with a reference, photograph by photograph.

    Args:
        method: its values.
        reference: those of the other method; photographs that either lacks do not count.
        margin: see :class:`Comparison`.
        higher_is_better: of the metric.
    """
    shared = [image_id for image_id in method if image_id in reference]
    differences = np.array([method[image_id] - reference[image_id] for image_id in shared], dtype=np.float64)
    low, high = bootstrap_mean(differences)
    worse = -differences if higher_is_better else differences
    p_t, p_wilcoxon = non_inferiority(worse, margin)
    mean = float(differences.mean()) if shared else math.nan
    return Comparison(len(shared), mean, low, high, margin, p_t, p_wilcoxon)


def non_inferiority(worse: Sequence[float] | np.ndarray, margin: float) -> tuple[float, float]:
    """Test the hypothesis that a method is worse than a reference by a margin or more (F/Z+ paper, section 4).

    The paper names no test. Here it is the one-sided paired t test with n - 1 degrees of freedom, and Wilcoxon's
    signed-rank test of the same.

    Args:
        worse: how much worse the method is on each photograph; above 0 is worse.
        margin: 0 or more.

    Returns:
        Both p-values; nan with fewer than two photographs.

    Raises:
        ShapeError: not a list of finite numbers.

    >>> [round(p, 4) for p in non_inferiority([-1.0, -2.0, -3.0], 0.0)]
    [0.0371, 0.125]
    """
    from scipy import stats

    shifted = np.asarray(worse, dtype=np.float64) - margin
    if shifted.ndim != 1 or not np.isfinite(shifted).all():
        raise ShapeError(f"differences: wanted a list of finite numbers, got {list(shifted.shape)}")
    count = len(shifted)
    if count < 2:
        return math.nan, math.nan
    deviation = float(shifted.std(ddof=1))
    if deviation <= 1e-12 * abs(shifted).max():  # equal on all photographs, but for rounding: nothing to test
        p = 0.0 if shifted[0] < 0 else 1.0
        return p, p
    p_t = float(stats.t.cdf(shifted.mean() / (deviation / math.sqrt(count)), count - 1))
    method = "exact" if count <= _EXACT and len(set(np.abs(shifted))) == count and shifted.all() else "asymptotic"
    return p_t, float(stats.wilcoxon(shifted, alternative="less", method=method).pvalue)


@dataclass(frozen=True)
class Order:
    """Whether one method's mean lies above another's, as a paper has it.

    Attributes:
        count: photographs that both have.
        difference: mean of larger minus smaller.
        low: of its 95 % bootstrap interval.
        high: likewise.
    """

    count: int
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Yes or no where the interval lies on one side of 0, else open with the sign; missing without values."""
        if not self.count:
            return "missing"
        if self.low > 0:
            return "yes"
        if self.high < 0:
            return "no"
        return "open, as printed" if self.difference > 0 else "open, against"


def check_order(larger: Values, smaller: Values) -> Order:
    """Return whether the mean of `larger` is the larger one, on the photographs that both have."""
    result = compare(larger, smaller, 0.0)
    return Order(result.count, result.difference, result.low, result.high)
