"""Measured pieces: what a section found for one crop of one cell, kept so that a study that was stopped resumes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from ganvert import tables
from ganvert.base.errors import TableError
from ganvert.base.files import atomic_folder
from ganvert.base.provenance import PLUMBING, closure_digest
from ganvert.images import to_png
from ganvert.study.cells import Cell
from ganvert.study.sections.base import Finished, Section, SectionOptions, Subject, Tools
from ganvert.tables.schemas import vector

__all__ = ["PieceStore", "small_png"]

_SIDE = 256  # px, of pictures for the page
#: Of pieces alone: what becomes of the features is in the rows that sections make of them.
_FEATURES = tables.Table(
    "study_features",
    1,
    tables.STUDY_PICTURES.key,
    (
        *(column for column in tables.STUDY_PICTURES.columns if column.name in tables.STUDY_PICTURES.key),
        vector("features", 512, pa.float64()),
    ),
)
_CHOICES = ("photos", "methods")  # options of every section
#: Imported by every section, and no part of what it measures: codes are keyed by their job.
_NOT_MEASURED = (
    "ganvert.study.__init__",
    "ganvert.study.sections.__init__",
    "ganvert.study.cells",
    "ganvert.extraction",
)


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
            tools.available,  # not `metrics`: a network that was missing may have been fetched since
            tools.code_metrics,
            tools.attributes,
            tools.generator.fingerprint(),
            directions,
        ]
        code = closure_digest(section.measure.__module__, without=(*PLUMBING, *_NOT_MEASURED))
        self._facts = json.dumps([facts, code])

    def get(
        self, cell: Cell, image_id: str, crop_ids: Sequence[str], shown: bool, subject: Callable[[], Subject]
    ) -> Finished:
        """Return a piece, measured if it is not there.

        Args:
            cell: the method and seed.
            image_id: of the photograph's crop.
            crop_ids: of the crop that was inverted, and of its partner if it has one.
            shown: whether its pictures are kept.
            subject: loads the crop and its code.
        """
        assert cell.job is not None
        text = json.dumps([self._facts, cell.job.key, image_id, *crop_ids, shown])
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

        def keyed(found: Mapping[tuple[str, float], Any], name: str) -> list[dict[str, Any]]:
            return [{**key, "variant": at[0], "amount": at[1], name: value} for at, value in found.items()]

        small = {at: small_png(picture) for at, picture in piece.pictures.items()} if shown else {}
        features = {at: row.tolist() for at, row in piece.features.items()}
        with atomic_folder(place) as folder:
            for table, rows in (
                (tables.STUDY_SCORES, [{"reason": "", **key, **row} for row in piece.rows]),
                (tables.STUDY_PICTURES, keyed(small, "png")),
                (_FEATURES, keyed(features, "features")),
            ):
                tables.write(folder / f"{table.name}.parquet", table, rows)

    def _read(self, place: Path) -> Finished | None:
        """Return a piece that is there; one that is damaged is removed."""
        if not place.is_dir():
            return None
        parts = (tables.STUDY_SCORES, tables.STUDY_PICTURES, _FEATURES)
        try:
            return Finished(*(tables.read(place / f"{table.name}.parquet", table).to_pylist() for table in parts))
        except TableError:
            shutil.rmtree(place)
            return None


def small_png(picture: Image.Image) -> bytes:
    """Return a picture as the page shows it."""
    small: Any = picture.convert("RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return to_png(small)
