"""The edits of a face as strips: one per edit, its pictures in order of amount, the unedited one (0) among them."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ganvert.editing.check import failures
from ganvert.editing.fit import Fit, seam_error
from ganvert.images import from_png
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


_FEATHER = 0.1  # of the border that warnings are about; the default of `edit.paste`


@dataclass(frozen=True)
class EditCell:
    """One edited picture: its amount, what that is called, figures as (label, text), and checks that it failed."""

    amount: float
    picture: InlineImage
    figures: tuple[tuple[str, str], ...] = ()
    label: str = "0"
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Strip:
    """The pictures of one edit (its label) by amount."""

    label: str
    cells: tuple[EditCell, ...]


@dataclass(frozen=True)
class MethodEdits:
    """A face's edits that start from one inversion: strips of crops, and of photographs with the face pasted back.

    The warning says that the pasted ones may show ghosts, and why.
    """

    method: str
    crops: tuple[Strip, ...]
    pasted: tuple[Strip, ...]
    warning: str = ""


#: Method and label of the edit to their cells by amount; edits are in the order of the table.
Cells = dict[tuple[str, str], dict[float, EditCell]]


def edits_by_face(run: Run) -> dict[str, tuple[MethodEdits, ...]]:
    """Return image id to its edits, one entry per method."""
    figures = _Figures(run)
    edited = set(run.inputs.edits.column("method").to_pylist())
    unedited = {
        (row["image_id"], row["method"]): run.image(row["png"])
        for table in run.inputs.reconstructions
        for row in rows_of(table)
        if row["method"] in edited
    }
    faces = run.inputs.aligned.select(["image_id", "photo_id"]).to_pylist()
    photo_of = {face["image_id"]: face["photo_id"] for face in faces}
    warnings = _warnings(run, edited)
    crops: dict[str, Cells] = {}
    pasted: dict[str, Cells] = {}
    for row in rows_of(run.inputs.edits):
        image_id, place = row["image_id"], (row["method"], run.edit_label(row))
        cells = crops.setdefault(image_id, {}).setdefault(place, {})
        label = figures.label(row)
        cells[row["amount"]] = EditCell(
            row["amount"], run.image(row["crop"]), figures.of(row), label, figures.failures(row)
        )
        if 0 not in cells and (reconstruction := unedited.get((image_id, row["method"]))) is not None:
            cells[0] = EditCell(0, reconstruction, figures.of({**row, "amount": 0.0}))
        if row["pasted"] is not None:
            cells = pasted.setdefault(image_id, {}).setdefault(place, {})
            cells[row["amount"]] = EditCell(row["amount"], run.photograph(row["pasted"]), label=label)
            if 0 not in cells and (original := run.inputs.originals.get(photo_of[image_id])) is not None:
                cells[0] = EditCell(0, run.photograph(original))
    return {
        image_id: tuple(
            MethodEdits(
                method,
                _strips(cells, method),
                _strips(pasted.get(image_id, {}), method),
                warnings.get((image_id, method), ""),
            )
            for method in dict.fromkeys(method for method, _ in cells)
        )
        for image_id, cells in crops.items()
    }


def _warnings(run: Run, methods: Collection[str]) -> dict[tuple[str, str], str]:
    """Return image id and method to why edits of that reconstruction may show ghosts where they are pasted back."""
    identity = {
        (row["image_id"], row["method"]): row["value"] for row in run.scores if row["metric"] == "identity_dlib"
    }
    crops = {row["image_id"]: row["crop"] for row in rows_of(run.inputs.aligned.select(["image_id", "crop"]))}
    warnings = {}
    for table in run.inputs.reconstructions:
        for row in rows_of(table):
            key = row["image_id"], row["method"]
            if row["method"] in methods:
                seam = seam_error(from_png(crops[row["image_id"]]), from_png(row["png"]), _FEATHER)
                text = Fit(seam, identity.get(key)).warning
                warnings[key] = text[:1].upper() + text[1:]
    return warnings


def _strips(cells: Cells, method: str) -> tuple[Strip, ...]:
    return tuple(
        Strip(label, tuple(of_edit[amount] for amount in sorted(of_edit)))
        for (of_method, label), of_edit in cells.items()
        if of_method == method
    )


class _Figures:
    """What stands below an edited picture: identity, the attribute that its direction is named after, failed checks."""

    def __init__(self, run: Run) -> None:
        self._scores: dict[tuple[Any, ...], dict[str, Row]] = {}
        values: dict[str, list[float]] = {}
        facts = run.inputs.directions.select(["name", "quality"]).to_pylist()
        self._qualities = {row["name"]: json.loads(row["quality"] or "{}") for row in reversed(facts)}
        for row in run.edit_scores:
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

    @staticmethod
    def label(edit: Row) -> str:
        """Return what the amount of an edited picture is called; of a percentile also what it came to."""
        if edit["percentile"] is not None:
            return f"p{edit['percentile']:g} ({edit['amount']:+.3g})"
        return f"{edit['amount']:+g}" if edit["amount"] else "0"

    def failures(self, edit: Row) -> tuple[str, ...]:
        """Return the checks that an edited picture failed."""
        edited, unedited = (
            {name: row["value"] for name, row in self._scores.get(self._key(key), {}).items()}
            for key in (edit, {**edit, "amount": 0.0})
        )
        change = self._qualities.get(edit["direction"], {}).get("change_per_unit")
        return tuple(
            failures(
                edited,
                unedited,
                edit["amount"],
                attribute=target_attribute(edit["direction"], self._attributes),
                change_per_unit=change if is_number(change) else None,
                sigmas=edit["sigmas"],
            )
        )
