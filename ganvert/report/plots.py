"""The curves of the report and of DVC plots: matplotlib without global state, the same bytes for the same numbers."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganvert.base.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curve", "edit_curve_figure", "losses_figure", "methods_figure", "save_png", "to_svg", "traces_figure"]

#: One line of an edit plot: amount of the edit to the value measured there.
Curve = Mapping[float, float]

_INK = "#24292f"  # a colour used for nothing else: to_svg makes it the text colour of the page
_LINE = "#3f7fd6"  # readable on white and on near black
_MARK = "#d9663f"
#: Lines of methods: told apart by colour-blind readers too, and by their dashes once the colours begin again.
_COLOURS = ("#3f7fd6", "#d9663f", "#2a9d7c", "#b05fb8", "#b58a1b", "#4fa8c5", "#c9506f", "#7a7f87")
_DASHES = ("-", "--", ":")
_STYLE: dict[str, Any] = {
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.parse_math": False,  # names may hold a dollar sign
    "svg.fonttype": "none",  # text stays text, in the page's font
    "svg.hashsalt": "ganvert",  # ids are random otherwise
}
_PANELS_PER_ROW = 4
_SHORT = 10  # steps that a running mean spans at least: single batches differ too much
_LINES = 200  # most light lines, those of the first images; means are of all


def traces_figure(traces: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw objective against step on a log scale: a panel per method, a light line per image, their geometric mean.

    Args:
        traces: method to image id to the objective after each step, [steps]. Panels have their own scales, because
            the objectives of two methods may be made of different parts.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    figure, panels = _panels(len(traces))
    with _style():
        for axes, (method, lines) in zip(panels, traces.items(), strict=False):
            # A log scale cannot show what is not positive or not finite (a diverged run).
            kept = [np.where(np.isfinite(line) & (line > 0), line, np.nan) for line in map(np.asarray, lines.values())]
            for line in kept[:_LINES]:
                axes.plot(np.arange(1, len(line) + 1), line, color=_LINE, alpha=0.5, linewidth=0.9)
            if kept:
                padded = np.full((len(kept), max(map(len, kept))), np.nan)
                for row, line in zip(padded, kept, strict=True):
                    row[: len(line)] = line
                # On a log scale the geometric mean is the middle of the lines; an arithmetic one follows the worst.
                mean = np.exp(_mean(np.log(padded)))
                axes.plot(np.arange(1, padded.shape[1] + 1), mean, color=_LINE, linewidth=2)
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.set(title=method, xlabel="step", ylabel="objective")
    return figure


def edit_curve_figure(
    curves: Mapping[str, Mapping[str, Curve]],
    ylabel: str,
    *,
    limits: tuple[float, float] | None = None,
    reference: tuple[float, str] | None = None,
) -> Figure:
    """Draw a measure against edit strength: a panel per direction, a light line per image, their mean in front.

    Args:
        curves: direction to image to :data:`Curve`.
        ylabel: name of the value, with its unit.
        limits: the value range of all panels; by default each panel has its own.
        reference: a value to mark with a dashed line, and its label.
    """
    figure, panels = _panels(len(curves))
    with _style():
        for axes, (direction, lines) in zip(panels, curves.items(), strict=False):
            amounts = sorted({amount for line in lines.values() for amount in line})
            values = np.array([[line.get(amount, math.nan) for amount in amounts] for line in lines.values()])
            for row in values[:_LINES]:
                axes.plot(amounts, row, color=_LINE, alpha=0.5, linewidth=0.9)
            if amounts:
                axes.plot(amounts, _mean(values), color=_LINE, linewidth=2, marker="o", markersize=4)
                axes.set_xticks(amounts if len(amounts) <= 9 else amounts[:: math.ceil(len(amounts) / 9)])
                axes.xaxis.set_major_formatter(lambda amount, _: f"{amount:g}")
            if limits:
                axes.set_ylim(limits)
            if reference:
                axes.axhline(reference[0], color=_MARK, linewidth=1, linestyle="--")
                axes.annotate(
                    reference[1], (0, reference[0]), (2, 2), xycoords=("axes fraction", "data"),
                    textcoords="offset points", color=_MARK, fontsize=8,
                )  # fmt: skip
            axes.set(title=direction, xlabel="edit strength", ylabel=ylabel)
    return figure


def methods_figure(panels: Mapping[str, Mapping[str, Sequence[Curve]]], xlabel: str, ylabel: str) -> Figure:
    """Draw a measure against an amount, a line for each method: light lines and their mean in front.

    Args:
        panels: title to method to its lines; a method has the same colour in all panels.
        xlabel: of all panels.
        ylabel: likewise.
    """
    methods = list(dict.fromkeys(method for lines in panels.values() for method in lines))
    figure, axes_of = _panels(len(panels))
    with _style():
        for axes, (title, lines_of) in zip(axes_of, panels.items(), strict=False):
            for method, lines in lines_of.items():
                number = methods.index(method)
                colour, dashes = _COLOURS[number % len(_COLOURS)], _DASHES[number // len(_COLOURS) % len(_DASHES)]
                amounts = sorted({amount for line in lines for amount in line})
                values = np.array([[line.get(amount, math.nan) for amount in amounts] for line in lines])
                for row in values[:_LINES] if len(values) > 1 else ():
                    axes.plot(amounts, row, color=colour, linestyle=dashes, alpha=0.25, linewidth=0.8)
                if amounts:
                    axes.plot(amounts, _mean(values), color=colour, linestyle=dashes, linewidth=1.8, label=method)
            axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
        drawn: dict[str, Artist] = {}
        for axes in axes_of:
            lines_here, labels = axes.get_legend_handles_labels()
            drawn |= dict(zip(labels, lines_here, strict=True))
        if drawn:
            handles, ncols = list(drawn.values()), _PANELS_PER_ROW
            figure.legend(handles, list(drawn), loc="outside lower center", ncols=ncols, fontsize=8, frameon=False)
    return figure


def losses_figure(records: Sequence[Mapping[str, float]], *, batches: bool = True) -> Figure:
    """Draw training losses against the step: a panel per loss, from zero where none is negative.

    Args:
        records: one mapping a step, with ``step`` and the losses; not every step needs all of them.
        batches: whether each is of one batch: then single steps are light, with a running mean in front.
    """
    from matplotlib.ticker import MaxNLocator

    names = list(dict.fromkeys(name for record in records for name in record if name != "step"))
    figure, panels = _panels(len(names))
    with _style():
        for axes, name in zip(panels, names, strict=False):
            steps, values = np.array([(record["step"], record[name]) for record in records if name in record]).T
            if batches:
                _draw_batches(axes, steps, values)
            else:
                axes.plot(steps, values, color=_LINE, linewidth=2, marker="o", markersize=4)
            if np.min(values) >= 0:  # so that a change looks as large as it is
                axes.set_ylim(0, 1.1 * max(np.max(values), 1e-9))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.ticklabel_format(useOffset=False)
            axes.set(title=name, xlabel="step", ylabel="loss")
    return figure


def _draw_batches(axes: Axes, steps: np.ndarray, values: np.ndarray) -> None:
    """Draw losses of single batches and their running mean; where there are few, dots, as a line would look a trend."""
    few = len(values) < 4 * _SHORT
    line: dict[str, Any] = {"linestyle": "", "marker": "."} if few else {"linewidth": 0.9}
    axes.plot(steps, values, color=_LINE, alpha=0.35, **line)
    width = max(len(values) // 50, min(len(values), _SHORT))
    # A mean of the last `width` steps, hence drawn from step `width` on.
    smooth = np.convolve(values, np.ones(width) / width, mode="valid")
    if len(smooth) > 1:
        axes.plot(steps[width - 1 :], smooth, color=_LINE, linewidth=2)
    else:
        axes.axhline(smooth[0], color=_LINE, linewidth=2)


def to_svg(figure: Figure, name: str, description: str) -> str:
    """Return the figure as an ``<svg>`` element to put into a page: it takes the page's text colour, font and width.

    Args:
        figure: from a function of this module.
        name: unique on the page, of letters, digits and '-'; its ids start with it.
        description: for screen readers; plain text.
    """
    from markupsafe import escape

    buffer = io.StringIO()
    with _style():
        # Without a date, equal figures give equal bytes.
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Several figures share a page, whose ids must differ.
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    head, body = svg.split(">", 1)
    head = re.sub(r'\s(width|height|version|xmlns(:\w+)?)="[^"]*"', "", head)
    return f'{head} class="plot" role="img" aria-label="{escape(description)}">{body}'.replace(_INK, "currentColor")


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure, whole or not at all; the same figure gives the same bytes."""
    with atomic_path(path) as temporary, _style():
        figure.savefig(temporary, format="png", dpi=120, facecolor="white", metadata={"Software": None})


def _style() -> AbstractContextManager[None]:
    """Set matplotlib's own defaults plus ours, ignoring a matplotlibrc of this machine; undone afterwards."""
    from matplotlib import style

    return style.context(["default", _STYLE])


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = max(min(count, _PANELS_PER_ROW), 1)
    rows = max(math.ceil(count / columns), 1)
    with _style():
        figure = Figure(figsize=(3.6 * columns, 2.7 * rows), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in panels[count:]:
        unused.set_axis_off()
    return figure, panels


def _mean(values: np.ndarray) -> np.ndarray:
    """Return column means of [lines, points] over the finite values; nan where there is none."""
    finite = np.isfinite(values)
    total = np.where(finite, values, 0).sum(axis=0)
    count = finite.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
