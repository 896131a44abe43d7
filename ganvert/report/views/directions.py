"""The directions, a table per finder, and samples they were found from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ganvert.report.inline import InlineImage
from ganvert.report.labels import unique
from ganvert.report.run import Row, Run

__all__ = ["Direction", "DirectionsView", "FinderTable", "directions"]


@dataclass(frozen=True)
class Direction:
    """A row of the table: the row of `directions` without its vector, and the figures of its fit as text."""

    row: Row
    figures: Mapping[str, str]


@dataclass(frozen=True)
class FinderTable:
    """The directions that one method found; `columns` are the figures that any of them has."""

    method: str
    columns: tuple[str, ...]
    directions: tuple[Direction, ...]


@dataclass(frozen=True)
class DirectionsView:
    """One table per method, and the sheet of samples, if there is one."""

    tables: tuple[FinderTable, ...]
    samples: InlineImage | None


def directions(run: Run) -> DirectionsView:
    """Return the tables and the sheet. What stands in for a direction, without its conditions, has no row."""
    rows = run.inputs.directions.drop_columns(["vector"]).to_pylist()
    rows = [row for row in rows if "stands_in" not in json.loads(row["quality"] or "{}")]
    tables = []
    for method in unique(row["method"] for row in rows):
        of_method = tuple(
            Direction(row, dict(_leaves(json.loads(row["quality"] or "{}")))) for row in rows if row["method"] == method
        )
        columns = tuple(unique(name for direction in of_method for name in direction.figures))
        tables.append(FinderTable(method, columns, of_method))
    return DirectionsView(tuple(tables), run.sheet(run.inputs.samples) if run.inputs.samples else None)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of parsed JSON as (dotted name, text)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        yield name, ", ".join(text for inner in value for _, text in _leaves(inner))
    else:
        yield name, f"{value:.4g}" if isinstance(value, float) else str(value)
