"""The edits, a card each: the faces as strips in order of amount, curves of identity and score, failed checks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvert.editing.check import failures
from ganvert.editing.fit import Fit, seam_error
from ganvert.images import from_png
from ganvert.report.edit_curves import EditCurves
from ganvert.report.inline import InlineImage
from ganvert.report.labels import decimals_for, is_number, metric_label, score_text
from ganvert.report.run import Row, Run, rows_of
from ganvert.tables import EDITS

__all__ = ["EditCard", "EditCell", "EditsView", "FaceEdits", "edits"]


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
class FaceEdits:
    """One face in an edit.

    Attributes:
        name: for alternative texts.
        file: the photograph's file name (and the face's number).
        crops: by amount.
        pasted: photographs with the face pasted back, by amount.
        warning: that the pasted ones may show ghosts, and why; empty where none are to be expected.
    """

    name: str
    file: str
    crops: tuple[EditCell, ...]
    pasted: tuple[EditCell, ...]
    warning: str = ""


@dataclass(frozen=True)
class EditCard:
    """One edit.

    Attributes:
        anchor: its id.
        title: what it is called.
        method: whose codes it starts from.
        direction: row of `directions`; None for edits without one, or along several.
        attribute: the score by which its pictures are checked; None where none was measured.
        faces: in the order of `edits`.
        panels: curves over the amount (SVG).
        pictures: how many there are, without unedited ones.
        failed: how many of these failed a check.
    """

    anchor: str
    title: str
    method: str
    direction: Row | None
    attribute: str | None
    faces: tuple[FaceEdits, ...]
    panels: tuple[str, ...]
    pictures: int
    failed: int


@dataclass(frozen=True)
class EditsView:
    """All edits in the order of the table."""

    edits: tuple[EditCard, ...]


#: Amount to the cell.
Cells = dict[float, EditCell]


def edits(run: Run) -> EditsView:
    """Return one card per edit."""
    curves = EditCurves(run, "edit-curve")
    warnings = _warnings(run, set(run.inputs.edits.column("method").to_pylist()))
    cards = []
    for number, (title, (row, crops, pasted)) in enumerate(_cells(run).items(), start=1):
        shown = tuple(
            FaceEdits(
                name=run.names[image_id],
                file=Path(run.names[image_id]).name,
                crops=_sorted(cells),
                pasted=_sorted(pasted.get(image_id, {})),
                warning=warnings.get((image_id, row["method"]), ""),
            )
            for image_id, cells in crops.items()
        )
        made = [cell for face in shown for cell in face.crops if cell.amount]
        cards.append(
            EditCard(
                anchor=f"edit-{number}",
                title=title,
                method=row["method"],
                direction=run.direction_of(row),
                attribute=run.attribute_of(row)[0] if row["direction"] else None,
                faces=shown,
                panels=curves.of_edit(title),
                pictures=len(made),
                failed=sum(bool(cell.failures) for cell in made),
            )
        )
    return EditsView(tuple(cards))


def _cells(run: Run) -> dict[str, tuple[Row, dict[str, Cells], dict[str, Cells]]]:
    """Return the title of each edit to a row of it, and by image its cells of crops and of pasted photographs."""
    figures = _Figures(run)
    edited = set(run.inputs.edits.column("method").to_pylist())
    unedited = {
        (row["image_id"], row["method"]): run.image(row["png"])
        for table in run.inputs.reconstructions
        for row in rows_of(table)
        if row["method"] in edited
    }
    photo_of = {
        row["image_id"]: row["photo_id"] for row in run.inputs.aligned.select(["image_id", "photo_id"]).to_pylist()
    }
    found: dict[str, tuple[Row, dict[str, Cells], dict[str, Cells]]] = {}
    for row in rows_of(run.inputs.edits):
        image_id = row["image_id"]
        facts = {name: row[name] for name in EDITS.key}
        _, crops, pasted = found.setdefault(run.edit_title(row), (facts, {}, {}))
        cells = crops.setdefault(image_id, {})
        label = figures.label(row)
        cells[row["amount"]] = EditCell(
            row["amount"], run.image(row["crop"]), figures.of(row), label, figures.failures(row)
        )
        if 0 not in cells and (reconstruction := unedited.get((image_id, row["method"]))) is not None:
            cells[0] = EditCell(0, reconstruction, figures.of({**row, "amount": 0.0}))
        if row["pasted"] is not None:
            cells = pasted.setdefault(image_id, {})
            cells[row["amount"]] = EditCell(row["amount"], run.photograph(row["pasted"]), label=label)
            if 0 not in cells and (original := run.inputs.originals.get(photo_of[image_id])) is not None:
                cells[0] = EditCell(0, run.photograph(original))
    return found


def _sorted(cells: Cells) -> tuple[EditCell, ...]:
    return tuple(cells[amount] for amount in sorted(cells))


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


class _Figures:
    """What stands below an edited picture: identity, the attribute that its direction is named after, failed checks."""

    def __init__(self, run: Run) -> None:
        self._scores: dict[tuple[Any, ...], dict[str, Row]] = {}
        values: dict[str, list[float]] = {}
        self._run = run
        for row in run.edit_scores:
            self._scores.setdefault(self._key(row), {})[row["metric"]] = row
            values.setdefault(row["metric"], []).extend([row["value"]] if is_number(row["value"]) else [])
        self._decimals = {name: decimals_for(numbers) for name, numbers in values.items()}

    @staticmethod
    def _key(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in EDITS.key)

    def of(self, edit: Row) -> tuple[tuple[str, str], ...]:
        """Return (label, text) of every figure of an edited picture."""
        scores = self._scores.get(self._key(edit), {})
        names = ("identity_dlib", "identity_mobilefacenet", self._run.attribute_of(edit)[0])
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
        # Of an edit without a direction only its name says what it might change.
        attribute, change = self._run.attribute_of(edit) if edit["direction"] else (None, None)
        return tuple(
            failures(
                edited,
                unedited,
                edit["amount"],
                attribute=attribute,
                change_per_unit=change,
                sigmas=edit["sigmas"],
            )
        )
