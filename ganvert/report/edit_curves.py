"""What edits change, as curves over their amount: inline SVG for the views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganvert.editing.fit import SAME_PERSON
from ganvert.report import plots
from ganvert.report.labels import attributes_among, is_number, metric_label, unique
from ganvert.report.run import Row, Run

__all__ = ["EditCurves"]

#: Amount to value.
_Line = dict[float, float]


class EditCurves:
    """The values of `edit_scores` as lines over the amount, and the panels made of them.

    Args:
        run: see there.
        name: with which the ids of the panels begin, unlike those of any other instance on the page.
    """

    def __init__(self, run: Run, name: str) -> None:
        self._run, self._name, self._drawn = run, name, 0
        #: Metric and title to image id to its line.
        self._lines: dict[tuple[str, str], dict[str, _Line]] = {}
        self._titles: dict[str, Row] = {}
        # Percentiles are other amounts for every image: there is no curve of their mean.
        keys = run.inputs.edits.select(["edit", "percentile"]).to_pylist()
        apart = {row["edit"] for row in keys if row["percentile"] is not None}
        for row in run.edit_scores:
            if row["edit"] in apart:
                continue
            title = run.edit_title(row)
            self._titles.setdefault(title, row)
            line = self._lines.setdefault((row["metric"], title), {}).setdefault(row["image_id"], {})
            if is_number(row["value"]):
                line[row["amount"]] = row["value"]
        metrics = unique(row["metric"] for row in run.edit_scores)
        self.attributes = attributes_among(metrics)
        self._identities = [metric for metric in metrics if metric not in self.attributes]

    def of_edit(self, title: str) -> tuple[str, ...]:
        """Draw an edit: a panel for each identity metric, and one for the attribute that it is to change."""
        if title not in self._titles:
            return ()
        panels = [self._identity(metric, title) for metric in self._identities if (metric, title) in self._lines]
        attribute = self._run.attribute_of(self._titles[title])[0]
        if attribute and (attribute, title) in self._lines:
            panels.append(self._change(attribute, title, attribute))
        return tuple(panels)

    def of_attribute(self, attribute: str) -> tuple[str, ...]:
        """Draw the change of an attribute under every edit, a panel each."""
        return tuple(
            self._change(attribute, title, title) for title in self._titles if (attribute, title) in self._lines
        )

    def _identity(self, metric: str, title: str) -> str:
        """Draw an identity metric, with the same scale under every edit."""
        of_metric = [lines for (name, _), lines in self._lines.items() if name == metric]
        values = [value for lines in of_metric for line in lines.values() for value in line.values()]
        dlib = metric.endswith("_dlib")
        # Distances begin at 0 and have a mark; cosines end at 1 and may be negative.
        limits = (0.0, 1.08 * max([SAME_PERSON, *values])) if dlib else (min([0.0, *values]), 1.0)
        mark = (SAME_PERSON, f"same person below {SAME_PERSON:g}") if dlib else None
        label = "distance" if dlib else "cosine"
        lines = self._lines[metric, title]
        return self._panel(metric, title, metric_label(metric), lines, label, limits=limits, reference=mark)

    def _change(self, metric: str, title: str, heading: str) -> str:
        lines = self._lines[metric, title].items()
        changes = {image: change for image, line in lines if (change := change_of(line))}
        return self._panel(metric, title, heading, changes, f"change of {metric}")

    def _panel(
        self, metric: str, title: str, heading: str, lines: Mapping[str, plots.Curve], label: str, **more: Any
    ) -> str:
        figure = plots.edit_curve_figure({heading: lines}, label, **more)
        name, self._drawn = f"{self._name}{self._drawn}", self._drawn + 1
        return plots.to_svg(figure, name, f"{metric} against the strength of {title}")


def change_of(line: Mapping[float, float]) -> _Line:
    """Return the values relative to that of the unedited reconstruction (amount 0); nothing where it has none."""
    return {amount: value - line[0.0] for amount, value in line.items()} if 0.0 in line else {}
