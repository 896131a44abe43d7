"""Every aligned face: the photograph, the crop, its reconstructions with their scores, its edits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganvert.report.inline import InlineImage
from ganvert.report.labels import MetricLabel, is_number, score_text
from ganvert.report.run import Row, Run, rows_of

__all__ = ["Face", "PhotographsView", "Reconstruction", "Score", "photographs"]


@dataclass(frozen=True)
class Score:
    """A metric of a reconstruction, as text: its value, or why there is none."""

    metric: MetricLabel
    text: str
    measured: bool


@dataclass(frozen=True)
class Reconstruction:
    """What a method made of a face: no picture where the inversion failed, nor scores where none was asked for."""

    method: str
    picture: InlineImage | None
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class Face:
    """A card of the page.

    Attributes:
        anchor: its id.
        image_id: in the tables.
        name: for alternative texts; unique on the page.
        file: the photograph's file name (and the face's number).
        photo: row of `photos`.
        original: the photograph, if it is still there.
        outline: the crop's corners in pixels of the photograph, for ``<polygon points>``.
        crop: the aligned face.
        resolution: of the crop, pixels.
        recipe: of the alignment.
        reconstructions: one per method.
    """

    anchor: str
    image_id: str
    name: str
    file: str
    photo: Row
    original: InlineImage | None
    outline: str
    crop: InlineImage
    resolution: int
    recipe: str
    reconstructions: tuple[Reconstruction, ...]


@dataclass(frozen=True)
class PhotographsView:
    """All faces in the order of `aligned`."""

    faces: tuple[Face, ...]


def photographs(run: Run) -> PhotographsView:
    """Return one card per aligned face."""
    drawn = {
        (row["image_id"], row["method"]): run.image(row["png"])
        for table in run.inputs.reconstructions
        for row in rows_of(table)
    }
    scores = {(row["image_id"], row["method"], row["metric"]): row for row in run.scores}

    def reconstruction(image_id: str, method: str) -> Reconstruction:
        rows = [(metric, scores.get((image_id, method, metric.name))) for metric in run.metrics]
        shown = tuple(_score(metric, row) for metric, row in rows if row is not None)
        return Reconstruction(method, drawn.get((image_id, method)), shown)

    faces = []
    for number, row in enumerate(rows_of(run.inputs.aligned), start=1):
        image_id, photo_id = row["image_id"], row["photo_id"]
        original = run.inputs.originals.get(photo_id)
        faces.append(
            Face(
                anchor=f"face-{number}",
                image_id=image_id,
                name=run.names[image_id],
                file=Path(run.names[image_id]).name,
                photo=run.photos[photo_id],
                original=run.photograph(original) if original else None,
                outline=" ".join(f"{x:.1f},{y:.1f}" for x, y in np.asarray(row["quad"]).reshape(4, 2)),
                crop=run.image(row["crop"]),
                resolution=row["resolution"],
                recipe=row["recipe"],
                reconstructions=tuple(reconstruction(image_id, method) for method in run.methods),
            )
        )
    return PhotographsView(tuple(faces))


def _score(metric: MetricLabel, row: Row) -> Score:
    return Score(metric, score_text(row, metric.decimals), is_number(row["value"]))
