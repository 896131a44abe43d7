"""The edits of a face as strips: one per edit, its pictures in order of amount."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ganvert.report.inline import InlineImage
from ganvert.report.labels import (
    attributes_among,
    decimals_for,
    is_number,
    metric_label,
    score_text,
    target_attribute,
)
from ganvert.report.run import Row, Run, rows_of
from ganvert.tables import EDITS

__all__ = ["EditCell", "MethodEdits", "Strip", "edits_by_face"]


@dataclass(frozen=True)
class EditCell:
    """One edited picture, its amount, and its figures as (label, text)."""

    amount: float
    picture: InlineImage
    figures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Strip:
    """The pictures of one edit (its label) by amount."""

    label: str
    cells: tuple[EditCell, ...]


@dataclass(frozen=True)
class MethodEdits:
    """A face's edits that start from one inversion: strips of crops, and of photographs with the face pasted back."""

    method: str
    crops: tuple[Strip, ...]
    pasted: tuple[Strip, ...]


#: Method and label of the edit to their cells, in the order of the table.
Cells = dict[tuple[str, str], list[EditCell]]


def edits_by_face(run: Run) -> dict[str, tuple[MethodEdits, ...]]:
    """Return image id to its edits, one entry per method."""
    figures = _Figures(run.edit_scores)
    crops: dict[str, Cells] = {}
    pasted: dict[str, Cells] = {}
    for row in rows_of(run.inputs.edits):
        place = row["method"], run.edit_label(row)
        cell = EditCell(row["amount"], run.image(row["crop"]), figures.of(row))
        crops.setdefault(row["image_id"], {}).setdefault(place, []).append(cell)
        if row["pasted"] is not None:
            photograph = EditCell(row["amount"], run.photograph(row["pasted"]))
            pasted.setdefault(row["image_id"], {}).setdefault(place, []).append(photograph)
    return {
        image_id: tuple(
            MethodEdits(method, _strips(cells, method), _strips(pasted.get(image_id, {}), method))
            for method in dict.fromkeys(method for method, _ in cells)
        )
        for image_id, cells in crops.items()
    }


def _strips(cells: Cells, method: str) -> tuple[Strip, ...]:
    return tuple(
        Strip(label, tuple(sorted(of_edit, key=lambda cell: cell.amount)))
        for (of_method, label), of_edit in cells.items()
        if of_method == method
    )


class _Figures:
    """What stands below an edited picture: identity, and the attribute that the direction is named after."""

    def __init__(self, edit_scores: Iterable[Row]) -> None:
        self._scores: dict[tuple[Any, ...], dict[str, Row]] = {}
        values: dict[str, list[float]] = {}
        for row in edit_scores:
            self._scores.setdefault(self._key(row), {})[row["metric"]] = row
            values.setdefault(row["metric"], []).extend([row["value"]] if is_number(row["value"]) else [])
        self._attributes = attributes_among(values)
        self._decimals = {name: decimals_for(numbers) for name, numbers in values.items()}

    @staticmethod
    def _key(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in EDITS.key)

    def of(self, edit: Row) -> tuple[tuple[str, str], ...]:
        """Return (label, text) of every figure of an edited picture."""
        scores = self._scores.get(self._key(edit), {})
        target = target_attribute(edit["direction"] or edit["edit"], self._attributes)
        names = ("identity_dlib", "identity_mobilefacenet", target)
        return tuple(
            (metric_label(name), score_text(scores[name], self._decimals[name])) for name in names if name in scores
        )
