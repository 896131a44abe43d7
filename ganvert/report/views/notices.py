"""Licences, and how to make the page again."""

from __future__ import annotations

from dataclasses import dataclass

from ganvert.report.run import Run

__all__ = ["NoticesView", "notices"]


@dataclass(frozen=True)
class NoticesView:
    """Nothing depends on the run."""


def notices(run: Run) -> NoticesView:
    """Return the view; the text is in the template."""
    return NoticesView()
