"""Words and numbers as readers of the page see them: metrics, decimals, attributes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

from ganvert.scoring.metrics import METRICS

__all__ = [
    "MetricLabel",
    "attributes_among",
    "decimals_for",
    "is_number",
    "metric_label",
    "metric_labels",
    "score_text",
    "unique",
]

T = TypeVar("T")

#: Family of a metric's name: label, convention. Net and resolution follow in the name; METRICS knows what is better.
_FAMILIES = {
    "lpips": ("LPIPS", "learned perceptual distance (Zhang et al. 2018)"),
    "mse": ("MSE", "mean squared error of RGB in [-1, 1]"),
    "psnr": ("PSNR", "peak signal-to-noise ratio in dB"),
    "ssim": ("SSIM", "structural similarity (Wang et al. 2004), 1 for equal pictures"),
    "identity": ("Identity", "likeness of two faces' descriptors"),
}
_DETAILS = {
    "vgg": "VGG-16 features",
    "alex": "AlexNet features",
    "dlib": "Euclidean distance of dlib's, 0 for equal faces; its authors call a distance below 0.6 the same person",
    "mobilefacenet": "cosine of MobileFaceNet's, 1 for equal faces, about 0 for strangers",
    "photo": "to the original crop",
}


@dataclass(frozen=True)
class MetricLabel:
    """How to read one metric: label, what is better ('lower', 'higher' or '' if unknown), convention, decimals."""

    name: str
    label: str
    better: str
    convention: str
    decimals: int

    def text(self, value: float) -> str:
        """Return the value with this metric's decimals."""
        return f"{value:.{self.decimals}f}"


def metric_labels(scores: Sequence[Mapping[str, Any]]) -> tuple[MetricLabel, ...]:
    """Return the metrics of rows of `scores`, in their order, each with the decimals that its values need."""
    labels = []
    for name in unique(row["metric"] for row in scores):
        values = [row["value"] for row in scores if row["metric"] == name and is_number(row["value"])]
        family, *details = name.split("_")
        _, convention = _FAMILIES.get(family, (name, ""))
        entry = METRICS.get(re.sub(r"_\d+$", "", name))
        better = "" if entry is None else "higher" if entry.higher_is_better else "lower"
        notes = [_DETAILS[part] for part in details if part in _DETAILS]
        notes += [f"pictures of {part} px" for part in details if part.isdigit()]
        text = "; ".join(filter(None, [convention, *notes]))
        labels.append(MetricLabel(name, metric_label(name), better, text, decimals_for(values, smallest=True)))
    return tuple(labels)


def metric_label(name: str) -> str:
    """Return a metric's name for readers: 'lpips_vgg_256' becomes 'LPIPS vgg 256'."""
    family, _, rest = name.partition("_")
    return " ".join([_FAMILIES[family][0] if family in _FAMILIES else family, *rest.split("_")]).strip()


def attributes_among(metrics: Iterable[str]) -> list[str]:
    """Return the attributes among the metrics of edits: all that are not of identity."""
    return [name for name in unique(metrics) if not name.startswith("identity")]


def decimals_for(values: Iterable[float], *, smallest: bool = False) -> int:
    """Return how many decimals show three digits of the largest value and, if asked, two of the smallest; at most 5."""
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return 3
    # log10 rounded down is the place of the first digit; two more follow it.
    wanted = 2 - math.floor(math.log10(max(sizes)))
    if smallest:
        wanted = max(wanted, 1 - math.floor(math.log10(min(sizes))))
    return min(max(wanted, 0), 5)


def score_text(row: Mapping[str, Any], decimals: int) -> str:
    """Return the value of a row of scores with that many decimals, or its status where it has none."""
    return f"{row['value']:.{decimals}f}" if is_number(row["value"]) else row["status"].replace("_", " ")


def is_number(value: float | None) -> TypeGuard[float]:
    """Return whether a value of a table is there and finite."""
    return value is not None and math.isfinite(value)


def unique(values: Iterable[T]) -> list[T]:
    """Return the values in order of first appearance."""
    return list(dict.fromkeys(values))
