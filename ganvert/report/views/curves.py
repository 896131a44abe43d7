"""Every attribute under every edit, and the objective against steps, as inline SVG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganvert.report import plots
from ganvert.report.edit_curves import EditCurves
from ganvert.report.run import Run

__all__ = ["CurvesView", "PanelGroup", "curves"]


@dataclass(frozen=True)
class PanelGroup:
    """The panels (SVG elements) of one attribute, one per edit."""

    name: str
    panels: tuple[str, ...]


@dataclass(frozen=True)
class CurvesView:
    """All panels.

    Attributes:
        every: one group per attribute: its change under every edit.
        traces: a panel per method that takes steps.
    """

    every: tuple[PanelGroup, ...]
    traces: tuple[str, ...]


def curves(run: Run) -> CurvesView:
    """Draw the panels."""
    drawn = EditCurves(run, "curve")
    every = tuple(PanelGroup(attribute, drawn.of_attribute(attribute)) for attribute in drawn.attributes)
    return CurvesView(every, _traces(run))


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
