"""Measured pieces: what a section found for one crop of one cell, kept so that a study that was stopped resumes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from ganvert import tables
from ganvert.base.errors import TableError
from ganvert.base.files import atomic_folder
from ganvert.base.provenance import PLUMBING, closure_digest
from ganvert.images import to_png
from ganvert.study.cells import Cell
from ganvert.study.sections.base import Row, Section, SectionOptions, Subject, Tools

__all__ = ["Finished", "PieceStore"]

_SIDE = 256  # px, of pictures for the page
_CHOICES = ("photos", "methods")  # options of every section
#: Imported by every section, and no part of what it measures: codes are keyed by their job.
_NOT_MEASURED = (
    "ganvert.study.__init__",
    "ganvert.study.sections.__init__",
    "ganvert.study.cells",
    "ganvert.extraction",
)


@dataclasses.dataclass(frozen=True)
class Finished:
    """Rows of :data:`ganvert.tables.STUDY_SCORES` and of :data:`ganvert.tables.STUDY_PICTURES`."""

    scores: list[Row]
    pictures: list[Row]


class PieceStore:
    """The pieces of one section.

    Args:
        folder: where pieces are kept.
        name: of the section.
        section: its entry.
        options: its options.
        tools: what it measures with.
    """

    def __init__(self, folder: Path, name: str, section: Section, options: SectionOptions, tools: Tools) -> None:
        self.folder, self.name, self.section, self.options, self.tools = folder, name, section, options, tools
        # Not how many photographs and which methods: a piece is of one of each.
        measured = {name: value for name, value in dataclasses.asdict(options).items() if name not in _CHOICES}
        directions = sorted(
            (*key, hashlib.sha256(direction.step(1.0).tobytes()).hexdigest())
            for key, direction in tools.directions.items()
            if section.directions
        )
        facts = [
            name,
            measured,
            tools.metrics,
            tools.code_metrics,
            tools.attributes,
            tools.generator.fingerprint(),
            directions,
        ]
        code = closure_digest(section.measure.__module__, without=(*PLUMBING, *_NOT_MEASURED))
        self._facts = json.dumps([facts, code])

    def get(self, cell: Cell, image_id: str, crop_id: str, shown: bool, subject: Callable[[], Subject]) -> Finished:
        """Return a piece, measured if it is not there.

        Args:
            cell: the method and seed.
            image_id: of the photograph's crop.
            crop_id: of the crop that was inverted.
            shown: whether its pictures are kept.
            subject: loads the crop and its code.
        """
        assert cell.job is not None
        text = json.dumps([self._facts, cell.job.key, image_id, crop_id, shown])
        place = self.folder / hashlib.sha256(text.encode()).hexdigest()[:32]
        found = self._read(place)
        if found is None:
            self._measure(place, cell, image_id, shown, subject())
            found = self._read(place)
            assert found is not None
        return found

    def _measure(self, place: Path, cell: Cell, image_id: str, shown: bool, subject: Subject) -> None:
        piece = self.section.measure(subject, self.tools, self.options)
        key = {"section": self.name, "image_id": image_id, "method": cell.method, "seed": cell.seed}
        pictures = piece.pictures if shown else {}
        with atomic_folder(place) as folder:
            tables.write(
                folder / "scores.parquet", tables.STUDY_SCORES, [{**key, **row, "reason": ""} for row in piece.rows]
            )
            tables.write(
                folder / "pictures.parquet",
                tables.STUDY_PICTURES,
                [
                    {**key, "variant": variant, "amount": amount, "png": small_png(picture)}
                    for (variant, amount), picture in pictures.items()
                ],
            )

    def _read(self, place: Path) -> Finished | None:
        """Return a piece that is there; one that is damaged is removed."""
        if not place.is_dir():
            return None
        try:
            scores = tables.read(place / "scores.parquet", tables.STUDY_SCORES).to_pylist()
            return Finished(scores, tables.read(place / "pictures.parquet", tables.STUDY_PICTURES).to_pylist())
        except TableError:
            shutil.rmtree(place)
            return None


def small_png(picture: Image.Image) -> bytes:
    """Return a picture as the page shows it."""
    small: Any = picture.convert("RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return to_png(small)
