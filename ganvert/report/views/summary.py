"""Mean of every metric by method."""

from __future__ import annotations

from dataclasses import dataclass

from ganvert.report.labels import MetricLabel, is_number
from ganvert.report.run import Run
from ganvert.scoring import statistics

__all__ = ["Cell", "MethodRow", "SummaryView", "summary"]


@dataclass(frozen=True)
class Cell:
    """One metric of one method: None where nothing was measured; `best` marks the best mean of its column."""

    metric: MetricLabel
    summary: statistics.Summary | None
    best: bool


@dataclass(frozen=True)
class MethodRow:
    """A row of the table: one cell per metric."""

    method: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class SummaryView:
    """The table, its metrics, and how many faces there are to measure."""

    metrics: tuple[MetricLabel, ...]
    rows: tuple[MethodRow, ...]
    faces: int


def summary(run: Run) -> SummaryView:
    """Return mean, 95 % interval and count per method and metric."""
    summaries = _summaries(run)
    best = {metric.name: _best(metric, summaries) for metric in run.metrics}

    def cell(method: str, metric: MetricLabel) -> Cell:
        of_cell = summaries.get((method, metric.name))
        return Cell(metric, of_cell, best=of_cell is not None and of_cell is best[metric.name])

    rows = tuple(MethodRow(method, tuple(cell(method, metric) for metric in run.metrics)) for method in run.methods)
    return SummaryView(run.metrics, rows, run.inputs.aligned.num_rows)


def _summaries(run: Run) -> dict[tuple[str, str], statistics.Summary]:
    """Return method and metric to the summary of the values that are numbers."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in run.scores:
        if is_number(row["value"]):
            values.setdefault((row["method"], row["metric"]), []).append(row["value"])
    return {key: statistics.summarise(numbers) for key, numbers in values.items()}


def _best(metric: MetricLabel, summaries: dict[tuple[str, str], statistics.Summary]) -> statistics.Summary | None:
    """Return the best of a metric among the methods that measured the most faces.

    None with fewer than two of them, whose means alone can be compared, or where nobody knows what is better.
    """
    measured = [of_cell for (_, name), of_cell in summaries.items() if name == metric.name]
    most = max((of_cell.count for of_cell in measured), default=0)
    compared = [of_cell for of_cell in measured if of_cell.count == most]
    if len(compared) < 2 or not metric.better:
        return None
    return (min if metric.better == "lower" else max)(compared, key=lambda of_cell: of_cell.mean)
