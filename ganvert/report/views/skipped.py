"""Whatever has no result, with its reason: photographs, inversions, scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ganvert.report.inline import InlineImage
from ganvert.report.labels import unique
from ganvert.report.run import Row, Run

__all__ = ["FailedInversion", "MissingScores", "ScoreGroup", "SkippedPhoto", "SkippedView", "skipped"]


@dataclass(frozen=True)
class SkippedPhoto:
    """A photograph without an aligned face."""

    path: str
    status: str
    reason: str
    picture: InlineImage | None


@dataclass(frozen=True)
class FailedInversion:
    """A face that a method did not invert."""

    name: str
    method: str
    status: str
    reason: str


@dataclass(frozen=True)
class MissingScores:
    """The metrics that a picture has no value of, for one status; of edits also the label and the amounts."""

    name: str
    method: str
    edit: str
    status: str
    metrics: tuple[str, ...]
    amounts: tuple[float, ...]


@dataclass(frozen=True)
class ScoreGroup:
    """Missing scores under one heading; `edits` tells whether they are of edits."""

    heading: str
    edits: bool
    rows: tuple[MissingScores, ...]


@dataclass(frozen=True)
class SkippedView:
    """All of them; empty where everything went well."""

    photos: tuple[SkippedPhoto, ...]
    inversions: tuple[FailedInversion, ...]
    scores: tuple[ScoreGroup, ...]


def skipped(run: Run) -> SkippedView:
    """Collect what has another status than ok."""
    groups = (
        ScoreGroup("Scores of reconstructions", False, _missing(run, run.scores, edits=False)),
        ScoreGroup("Scores of edits", True, _missing(run, run.edit_scores, edits=True)),
    )
    return SkippedView(
        photos=tuple(_photo(run, row) for row in run.photos.values() if row["status"] != "ok"),
        inversions=tuple(
            FailedInversion(run.names[row["image_id"]], row["method"], row["status"], row["reason"])
            for row in run.codes
            if row["status"] != "ok"
        ),
        scores=tuple(group for group in groups if group.rows),
    )


def _photo(run: Run, row: Row) -> SkippedPhoto:
    original = run.inputs.originals.get(row["photo_id"])
    return SkippedPhoto(row["path"], row["status"], row["reason"], run.image(original) if original else None)


def _missing(run: Run, scores: Iterable[Row], *, edits: bool) -> tuple[MissingScores, ...]:
    """Return scores that are no numbers, one entry per image, method, edit and status."""
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in scores:
        if row["status"] != "ok":
            key = run.names[row["image_id"]], row["method"], run.edit_label(row) if edits else "", row["status"]
            groups.setdefault(key, []).append(row)
    return tuple(
        MissingScores(
            *key,
            metrics=tuple(unique(row["metric"] for row in rows)),
            amounts=tuple(sorted({row["amount"] for row in rows}) if edits else ()),
        )
        for key, rows in groups.items()
    )
