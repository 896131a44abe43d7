"""From all rows of a study to its means, comparisons and checks of orders."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise

import numpy as np

from ganvert.base.errors import UnknownNameError
from ganvert.scoring.code_metrics import code_metric
from ganvert.scoring.metrics import check_metric_name
from ganvert.scoring.statistics import summarise
from ganvert.study.comparison import ABSOLUTE_MARGIN, RELATIVE_MARGIN, check_order, compare
from ganvert.study.published import PrintedRow, presets_of, published
from ganvert.study.sections.base import Row

__all__ = ["by_photograph", "comparisons", "higher_is_better", "nearest", "orders", "summaries"]

#: The metric of what an inversion took.
SECONDS = "core_seconds"
#: Section, method, variant, amount, metric.
Group = tuple[str, str, str, float, str]
#: Sections whose methods are compared with the reference.
_COMPARED = ("reconstruction", "out_of_range")


def by_photograph(rows: Sequence[Row]) -> dict[Group, dict[str, float]]:
    """Return every group of rows as image id to value, nan where nothing was measured; seeds are averaged first.

    A seed without a value is left out of its photograph's mean.
    """
    values: dict[Group, dict[str, list[float]]] = {}
    for row in rows:
        group = row["section"], row["method"], row["variant"], row["amount"], row["metric"]
        of_image = values.setdefault(group, {}).setdefault(row["image_id"], [])
        if row["value"] is not None and math.isfinite(row["value"]):
            of_image.append(row["value"])
    return {
        group: {image_id: float(np.mean(found)) if found else math.nan for image_id, found in of_images.items()}
        for group, of_images in values.items()
    }


def summaries(rows: Sequence[Row]) -> list[Row]:
    """Return rows of `study_summary`."""
    expected: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        expected.setdefault((row["section"], row["method"]), set()).add(row["image_id"])
    made = []
    for (section, method, variant, amount, metric), of_images in by_photograph(rows).items():
        stats = summarise(list(of_images.values()))
        present = [value for value in of_images.values() if not math.isnan(value)]
        made.append(
            {
                "section": section,
                "method": method,
                "variant": variant,
                "amount": amount,
                "metric": metric,
                "count": stats.count,
                # A photograph without a code has no row of any other metric.
                "missing": len(expected[section, method]) - stats.count,
                "mean": _number(stats.mean),
                "low": _number(stats.low),
                "high": _number(stats.high),
                "deviation": float(np.std(present, ddof=1)) if len(present) > 1 else None,
            }
        )
    return made


def comparisons(rows: Sequence[Row], reference: str) -> list[Row]:
    """Return rows of `study_comparisons`: every method against the reference, with both margins."""
    groups = _present(rows)
    made = []
    for (section, method, variant, amount, metric), values in groups.items():
        other = groups.get((section, reference, variant, amount, metric))
        better = higher_is_better(metric)
        if section not in _COMPARED or method == reference or not other or not values or better is None:
            continue
        if metric == SECONDS:  # of a whole shard, the same for all of its photographs
            continue
        relative = RELATIVE_MARGIN * abs(float(np.mean(list(other.values()))))
        for kind, margin in (("absolute", ABSOLUTE_MARGIN), ("relative", relative)):
            result = compare(values, other, margin, higher_is_better=better)
            if result.count:
                key = {"section": section, "method": method, "reference": reference, "variant": variant}
                made.append(
                    {
                        **key,
                        "metric": metric,
                        "margin_kind": kind,
                        "margin": margin,
                        "count": result.count,
                        "difference": result.difference,
                        "low": result.low,
                        "high": result.high,
                        "p_t": _number(result.p_t),
                        "p_wilcoxon": _number(result.p_wilcoxon),
                    }
                )
    return made


def orders(rows: Sequence[Row]) -> list[Row]:
    """Return rows of `study_orders`: neighbours of every chain that a paper prints, on the photographs of the study.

    A value of a photograph is the mean over the amounts of the row's variant.
    """
    groups = _present(rows)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    made = []
    for source, column, larger, smaller in _chains():
        table = published().tables[source]
        known = {row["metric"] for row in rows if row["section"] == table.section}
        metric = nearest(table.metrics[column], known)
        presets = [presets_of(row.method, methods) or "" for row in (larger, smaller)]
        values = [
            _over_amounts(groups, (table.section, preset, row.variant), metric)
            for preset, row in zip(presets, (larger, smaller), strict=True)
        ]
        result = check_order(*values)
        made.append(
            {
                "source": source,
                "column": column,
                "larger": larger.label,
                "smaller": smaller.label,
                "larger_preset": presets[0],
                "smaller_preset": presets[1],
                "metric": metric,
                "count": result.count,
                "difference": _number(result.difference),
                "low": _number(result.low),
                "high": _number(result.high),
                "verdict": result.verdict,
            }
        )
    return made


def higher_is_better(metric: str) -> bool | None:
    """Return which way a metric points; None where neither way is better, or nobody knows."""
    if metric == SECONDS:
        return False
    for known in (lambda name: check_metric_name(name)[0], code_metric):
        with suppress(UnknownNameError):
            return bool(known(metric).higher_is_better)
    return None


def _chains() -> Iterator[tuple[str, str, PrintedRow, PrintedRow]]:
    """Yield table, column and two neighbouring rows of every order that a paper has."""
    for source, table in published().tables.items():
        row_of = {row.label: row for row in table.rows}
        for column, chains in table.orders.items():
            for chain in chains:
                for larger, smaller in pairwise(chain):
                    yield source, column, row_of[larger], row_of[smaller]


def _over_amounts(
    groups: Mapping[Group, Mapping[str, float]], place: tuple[str, str, str], metric: str
) -> dict[str, float]:
    """Return image id to the mean of a metric over all amounts of a section, method and variant."""
    values: dict[str, list[float]] = {}
    for group, of_images in groups.items():
        if (*group[:3], group[4]) == (*place, metric):
            for image_id, value in of_images.items():
                values.setdefault(image_id, []).append(value)
    return {image_id: float(np.mean(found)) for image_id, found in values.items()}


def nearest(metric: str, known: Iterable[str]) -> str:
    """Return the metric itself if it is among those known, else the same one at the largest size that is."""
    known, base = set(known), metric.rpartition("_")[0]
    sizes = [name for name in known if name.rpartition("_")[0] == base and name.rpartition("_")[2].isdecimal()]
    return metric if metric in known or not sizes else max(sizes, key=lambda name: int(name.rpartition("_")[2]))


def _present(rows: Sequence[Row]) -> dict[Group, dict[str, float]]:
    """Return :func:`by_photograph` without what was not measured."""
    return {
        group: {image_id: value for image_id, value in of_images.items() if not math.isnan(value)}
        for group, of_images in by_photograph(rows).items()
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
