"""The numbers at the head of the page."""

from __future__ import annotations

from dataclasses import dataclass

from ganvert.report.labels import unique
from ganvert.report.run import Run

__all__ = ["Facts", "facts"]


@dataclass(frozen=True)
class Facts:
    """How much of everything there is."""

    photos: int
    aligned: int
    skipped: int
    methods: int
    edits: int
    generators: tuple[str, ...]


def facts(run: Run) -> Facts:
    """Count photographs, faces, methods and edits, and list the generators."""
    return Facts(
        photos=len(run.photos),
        aligned=run.inputs.aligned.num_rows,
        skipped=sum(row["status"] != "ok" for row in run.photos.values()),
        methods=len(run.methods),
        edits=run.inputs.edits.num_rows,
        generators=tuple(unique(row["generator"][:12] for row in run.codes)),
    )
