"""Curves against edit strength, and the objective against steps, as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganvert.editing.fit import SAME_PERSON
from ganvert.report import plots
from ganvert.report.labels import attributes_among, is_number, target_attribute, unique
from ganvert.report.run import Run

__all__ = ["CurvesView", "PanelGroup", "curves"]


@dataclass(frozen=True)
class PanelGroup:
    """The panels (SVG elements) of one metric or attribute, one per edit."""

    name: str
    panels: tuple[str, ...]


@dataclass(frozen=True)
class CurvesView:
    """All panels.

    Attributes:
        identity: one group per identity metric.
        own: a panel per edit whose direction is named after an attribute: the change of that attribute.
        every: one group per attribute: its change under every edit.
        traces: a panel per method that takes steps.
    """

    identity: tuple[PanelGroup, ...]
    own: tuple[str, ...]
    every: tuple[PanelGroup, ...]
    traces: tuple[str, ...]


def curves(run: Run) -> CurvesView:
    """Draw the panels."""
    drawn = _EditCurves(run)
    # One after another, because the ids of panels are counted.
    identity = tuple(drawn.identity(metric) for metric in drawn.metrics if metric not in drawn.attributes)
    own = drawn.own()
    every = tuple(drawn.changes_of(attribute) for attribute in drawn.attributes)
    return CurvesView(identity, own, every, _traces(run))


class _EditCurves:
    """The values of `edit_scores` as lines over the amount, and the panels made of them."""

    def __init__(self, run: Run) -> None:
        several = len({row["method"] for row in run.edit_scores}) > 1
        #: Metric and title to image id to its line.
        self.lines: dict[tuple[str, str], dict[str, dict[float, float]]] = {}
        #: Title of a panel (the edit, with its method where there are several) to its direction, else its name.
        self.directions: dict[str, str] = {}
        # Percentiles are other amounts for every image: there is no curve of their mean.
        keys = run.inputs.edits.select(["edit", "percentile"]).to_pylist()
        apart = {row["edit"] for row in keys if row["percentile"] is not None}
        for row in run.edit_scores:
            if row["edit"] in apart:
                continue
            label = run.edit_label(row)
            title = f"{label} ({row['method']})" if several else label
            self.directions[title] = row["direction"] or row["edit"]
            line = self.lines.setdefault((row["metric"], title), {}).setdefault(row["image_id"], {})
            if is_number(row["value"]):
                line[row["amount"]] = row["value"]
        self.metrics = unique(row["metric"] for row in run.edit_scores)
        self.attributes = attributes_among(self.metrics)
        self._drawn = 0

    def identity(self, metric: str) -> PanelGroup:
        """Draw an identity metric under every edit, all panels with one scale."""
        titles = self._titles_with(metric)
        values = [v for title in titles for line in self.lines[metric, title].values() for v in line.values()]
        dlib = metric.endswith("_dlib")
        # Distances begin at 0 and have a mark; cosines end at 1 and may be negative.
        limits = (0.0, 1.08 * max([SAME_PERSON, *values])) if dlib else (min([0.0, *values]), 1.0)
        mark = (SAME_PERSON, f"same person below {SAME_PERSON:g}") if dlib else None
        label = "distance" if dlib else "cosine"
        panels = tuple(
            self._panel(metric, title, self.lines[metric, title], label, limits=limits, reference=mark)
            for title in titles
        )
        return PanelGroup(metric, panels)

    def own(self) -> tuple[str, ...]:
        """Draw, for every direction named after an attribute, the change of that attribute."""
        targets = {title: target_attribute(direction, self.attributes) for title, direction in self.directions.items()}
        return tuple(
            self._change_panel(target, title)
            for title, target in targets.items()
            if target and (target, title) in self.lines
        )

    def changes_of(self, attribute: str) -> PanelGroup:
        """Draw the change of an attribute under every edit."""
        titles = self._titles_with(attribute)
        return PanelGroup(attribute, tuple(self._change_panel(attribute, title) for title in titles))

    def _titles_with(self, metric: str) -> list[str]:
        return [title for title in self.directions if (metric, title) in self.lines]

    def _change_panel(self, metric: str, title: str) -> str:
        changes = {image: change for image, line in self.lines[metric, title].items() if (change := _change(line))}
        return self._panel(metric, title, changes, f"change of {metric}")

    def _panel(self, metric: str, title: str, lines: Mapping[str, plots.Curve], label: str, **more: Any) -> str:
        figure = plots.edit_curve_figure({title: lines}, label, **more)
        name, self._drawn = f"curve{self._drawn}", self._drawn + 1
        return plots.to_svg(figure, name, f"{metric} against the strength of {title}")


def _change(line: Mapping[float, float]) -> dict[float, float]:
    """Return the values relative to that of the unedited reconstruction (amount 0); nothing where it has none."""
    return {amount: value - line[0.0] for amount, value in line.items()} if 0.0 in line else {}


def _traces(run: Run) -> tuple[str, ...]:
    """Draw one panel per method that takes more than one step."""
    panels = []
    for number, method in enumerate(run.methods):
        of_method = [row for row in run.codes if row["method"] == method]
        traces = {row["image_id"]: np.asarray(row["trace"]) for row in of_method if len(row["trace"]) > 1}
        if traces:
            figure = plots.traces_figure({method: traces})
            panels.append(plots.to_svg(figure, f"trace{number}", f"objective against step of {method}"))
    return tuple(panels)
