"""The tables of a study as the page reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ganvert import tables

__all__ = ["Row", "StudyTables", "read_study"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class StudyTables:
    """Rows of the tables of one study.

    Attributes:
        photos: of `photos`.
        faces: image id to the photograph's path.
        scores: of `study_scores`.
        pictures: of `study_pictures`.
        summary: of `study_summary`.
        comparisons: of `study_comparisons`.
        orders: of `study_orders`.
    """

    photos: tuple[Row, ...]
    faces: Mapping[str, str]
    scores: tuple[Row, ...]
    pictures: tuple[Row, ...]
    summary: tuple[Row, ...]
    comparisons: tuple[Row, ...]
    orders: tuple[Row, ...]

    @cached_property
    def methods(self) -> list[str]:
        """Methods in the order of the study."""
        return list(dict.fromkeys(row["method"] for row in self.scores))

    @cached_property
    def sections(self) -> list[str]:
        """Sections in the order of the study."""
        return list(dict.fromkeys(row["section"] for row in self.scores))

    def summary_of(self, section: str) -> dict[tuple[str, str, float, str], Row]:
        """Return method, variant, amount and metric to the summary's row."""
        return {
            (row["method"], row["variant"], row["amount"], row["metric"]): row
            for row in self.summary
            if row["section"] == section
        }


def read_study(paths: Mapping[str, Path]) -> StudyTables:
    """Read the tables that :func:`ganvert.study.run_study` wrote.

    Args:
        paths: name of a table to its file.

    Raises:
        TableError: one is missing or damaged.
    """

    def rows(table: tables.Table, columns: list[str] | None = None) -> tuple[Row, ...]:
        data = tables.read(paths[table.name], table)
        return tuple((data.select(columns) if columns else data).to_pylist())

    return StudyTables(
        photos=rows(tables.PHOTOS),
        faces={row["image_id"]: row["path"] for row in rows(tables.ALIGNED, ["image_id", "path"])},
        scores=rows(tables.STUDY_SCORES),
        pictures=rows(tables.STUDY_PICTURES),
        summary=rows(tables.STUDY_SUMMARY),
        comparisons=rows(tables.STUDY_COMPARISONS),
        orders=rows(tables.STUDY_ORDERS),
    )
