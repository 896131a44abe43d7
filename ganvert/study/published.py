"""What the papers print: tables with their sources, orders that follow from them, and which preset stands for a row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ganvert.base import params

__all__ = ["Named", "Printed", "PrintedRow", "Published", "presets_of", "published"]

FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True, kw_only=True)
class PrintedRow:
    """A row of a table.

    Attributes:
        method: its name in :attr:`Published.methods`.
        variant: of the section's pictures; empty where it has one kind, or for all of them.
        values: metric to what is printed; a mean, or one number a picture. Empty where the paper shows pictures alone.
        deviations: metric to the standard deviation that is printed with a mean.
    """

    method: str
    variant: str = ""
    values: dict[str, float | tuple[float, ...]] = field(default_factory=dict)
    deviations: dict[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name in orders: the method, and the variant if it has one."""
        return f"{self.method}, {self.variant}" if self.variant else self.method


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A table of a paper.

    Attributes:
        title: short.
        source: paper, table or figure, photographs, generator.
        metrics: name of a column to the metric of ours that comes nearest.
        rows: as printed.
        section: of the study, whose numbers stand beside the printed ones.
        orders: column to chains of rows, by their labels, by falling value: as printed, where the gap is a claim of the
            paper, or as its text says.
        note: what keeps the numbers from being compared with others.
    """

    title: str
    source: str
    metrics: dict[str, str]
    rows: tuple[PrintedRow, ...]
    section: str = "reconstruction"
    orders: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Named:
    """A method that a paper names.

    Attributes:
        papers: which ones.
        presets: those that stand for it, any of which counts; the first one that a study has is shown.
        reason: why it cannot be measured; empty where it can.
    """

    papers: tuple[str, ...]
    presets: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Published:
    """The whole file.

    Attributes:
        tables: by name.
        methods: by the name that the papers use.
    """

    tables: dict[str, Printed]
    methods: dict[str, Named]


@cache
def published() -> Published:
    """Return what the papers print, read from the package."""
    return params.build(Published, params.load(FILE), FILE.name)


def presets_of(method: str, among: Iterable[str]) -> str | None:
    """Return the preset of a study that stands for a method of the papers; None if it has none."""
    known = set(among)
    return next((name for name in published().methods[method].presets if name in known), None)
