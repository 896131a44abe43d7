"""Training of encoders: losses and held-out photographs."""

from __future__ import annotations

from dataclasses import dataclass

from ganvert.report.inline import InlineImage, inline_png
from ganvert.report.run import Run

__all__ = ["EncodersView", "Training", "encoders"]


@dataclass(frozen=True)
class Training:
    """One encoder: plot of its losses, and held-out photographs above their inversions, as far as they exist."""

    name: str
    loss: InlineImage | None
    sheet: InlineImage | None


@dataclass(frozen=True)
class EncodersView:
    """All encoders that were trained."""

    encoders: tuple[Training, ...]


def encoders(run: Run) -> EncodersView | None:
    """Return the pictures of every training; None where none was trained."""
    trainings = tuple(
        Training(name, inline_png(loss) if loss else None, run.sheet(sheet) if sheet else None)
        for name, (loss, sheet) in run.inputs.encoders.items()
    )
    return EncodersView(trainings) if trainings else None
