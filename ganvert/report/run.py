"""One run as the views see it: the tables as rows, and what several views need of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from PIL import Image

from ganvert.editing.check import attribute_of
from ganvert.images import from_png
from ganvert.report.inline import InlineImage, inline_jpeg
from ganvert.report.inputs import SHOWN_OF_CODES, ReportInputs, ReportOptions, check_same_run
from ganvert.report.labels import MetricLabel, attributes_among, metric_labels, unique
from ganvert.spaces import SPACES

__all__ = ["Row", "Run", "rows_of"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """What every view is made from.

    Attributes:
        inputs: the tables; those with picture bytes are read from here, a row at a time (:func:`rows_of`).
        options: sizes of pictures.
        photos: photo id to row of `photos`.
        names: image id to what a face is called: the photograph's path, with a number where it has several faces.
        methods: all that were tried, in the order of params.yaml.
        metrics: of `scores`, in their order.
        codes: rows of all tables `codes`, with :data:`SHOWN_OF_CODES`.
        scores: rows of `scores`.
        edit_scores: rows of `edit_scores`.
        directions: name and space to row of `directions` without its vector, `quality` parsed.
    """

    inputs: ReportInputs
    options: ReportOptions
    photos: Mapping[str, Row]
    names: Mapping[str, str]
    methods: tuple[str, ...]
    metrics: tuple[MetricLabel, ...]
    codes: tuple[Row, ...]
    scores: tuple[Row, ...]
    edit_scores: tuple[Row, ...]
    directions: Mapping[tuple[str, str], Row]

    @classmethod
    def of(cls, inputs: ReportInputs, options: ReportOptions) -> Run:
        """Read the small columns of the tables.

        Raises:
            TableError: the tables are of different runs.
        """
        check_same_run(inputs)
        photos = {row["photo_id"]: row for row in inputs.photos.to_pylist()}
        scores = inputs.scores.to_pylist()
        codes = [row for table in inputs.codes for row in table.select(SHOWN_OF_CODES).to_pylist()]
        found = inputs.directions.drop_columns(["vector"]).to_pylist()
        return cls(
            inputs=inputs,
            options=options,
            photos=photos,
            names=_face_names(inputs.aligned, photos),
            # Both list every method tried; the scores come first because their order is that of params.yaml.
            methods=tuple(unique(row["method"] for row in [*scores, *codes])),
            metrics=metric_labels(scores),
            codes=tuple(codes),
            scores=tuple(scores),
            edit_scores=tuple(inputs.edit_scores.to_pylist()),
            # Of several by one name and space the first counts.
            directions={
                (row["name"], row["space"]): {**row, "quality": json.loads(row["quality"] or "{}")}
                for row in found[::-1]
            },
        )

    def image(self, picture: Image.Image | bytes) -> InlineImage:
        """Return a crop, reconstruction or edit (PNG bytes, or a picture) in the size that these have on the page."""
        if isinstance(picture, bytes):
            picture = from_png(picture)
        return inline_jpeg(picture, self.options.image_px, self.options.jpeg_quality)

    def photograph(self, picture: Image.Image | bytes) -> InlineImage:
        """Return a photograph (PNG bytes, or a picture) in the size that these have on the page."""
        if isinstance(picture, bytes):
            picture = from_png(picture)
        return inline_jpeg(picture, self.options.photo_px, self.options.jpeg_quality)

    def sheet(self, picture: Image.Image) -> InlineImage:
        """Return a contact sheet in the size that these have on the page: twice that of a photograph."""
        return inline_jpeg(picture, 2 * self.options.photo_px, self.options.jpeg_quality)

    def edit_label(self, row: Row) -> str:
        """Return what the edit of a row of `edits` or `edit_scores` is called on the page."""
        references = ", ".join(self.names.get(name, name) for name in filter(None, row["reference"].split(",")))
        detail = ", ".join(filter(None, [row["direction"], references]))
        return str(row["edit"]) if detail in ("", row["edit"]) else f"{row['edit']} ({detail})"

    def edit_title(self, row: Row) -> str:
        """Return the label of an edit, with its method where several methods' codes are edited."""
        return f"{self.edit_label(row)} ({row['method']})" if self._several_methods else self.edit_label(row)

    def attribute_of(self, row: Row) -> tuple[str | None, float | None]:
        """Return the attribute that an edit is to change; see :func:`ganvert.editing.check.attribute_of`."""
        quality = (self.direction_of(row) or {}).get("quality", {})
        return attribute_of(row["direction"] or row["edit"], quality, self._attributes)

    def direction_of(self, row: Row) -> Row | None:
        """Return the row of `directions` that an edit moves along, with the rows of ws that it moves; None for none."""
        rows = re.fullmatch(r"(.+)@([0-9]+):([0-9]+)", row["direction"])  # of one direction, not of several
        name, space = rows[1] if rows else row["direction"], self._moves_in.get(row["method"], "")
        # As `ganvert.directions.choose` takes them.
        known = (self.directions.get((name, where)) for where in (space, f"{space}plus", "s"))
        direction = next(filter(None, known), None)
        if direction is None or not rows:
            return direction
        return {**direction, "first_row": int(rows[2]), "last_row": int(rows[3])}

    @cached_property
    def _moves_in(self) -> dict[str, str]:
        """Method to the space, z or w, of the directions that move its codes."""
        details = {row["method"]: row["space"].rpartition("/")[2] for row in self.codes}
        return {method: SPACES[detail].direction_space for method, detail in details.items()}

    @cached_property
    def _several_methods(self) -> bool:
        return len({row["method"] for row in self.edit_scores}) > 1

    @cached_property
    def _attributes(self) -> list[str]:
        return attributes_among(row["metric"] for row in self.edit_scores)


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield rows one at a time, so that picture bytes are not all held twice."""
    for batch in table.to_batches(max_chunksize=1):
        yield from batch.to_pylist()


def _face_names(aligned: pa.Table, photos: Mapping[str, Row]) -> dict[str, str]:
    rows = aligned.select(["image_id", "photo_id", "face"]).to_pylist()
    faces_of_photo: dict[str, int] = {}
    for row in rows:
        faces_of_photo[row["photo_id"]] = faces_of_photo.get(row["photo_id"], 0) + 1
    return {
        row["image_id"]: photos[row["photo_id"]]["path"]
        + (f", face {row['face'] + 1}" if faces_of_photo[row["photo_id"]] > 1 else "")
        for row in rows
    }
