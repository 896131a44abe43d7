"""The sections of the page, in order. A new one is a view, its template beside it, and a line here.

The view of section ``NAME`` is a function in ``views/NAME.py`` from :class:`ganvert.report.run.Run` to a frozen
dataclass; ``views/NAME.html.j2`` shows that as ``view``. The package may import `editing` and what lies below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ganvert.report.run import Run
from ganvert.report.views.curves import curves
from ganvert.report.views.directions import directions
from ganvert.report.views.edits import edits
from ganvert.report.views.encoders import encoders
from ganvert.report.views.notices import notices
from ganvert.report.views.photographs import photographs
from ganvert.report.views.skipped import skipped
from ganvert.report.views.summary import summary

__all__ = ["SECTIONS", "Section"]


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        name: its anchor, and the file name of its template.
        label: in the navigation.
        heading: above it.
        view: what its template shows; None leaves the section out.
    """

    name: str
    label: str
    heading: str
    view: Callable[[Run], Any]


SECTIONS = (
    Section("summary", "Summary", "Summary", summary),
    Section("photographs", "Photographs", "Photographs", photographs),
    Section("edits", "Edits", "Edits", edits),
    Section("curves", "Curves", "Curves", curves),
    Section("directions", "Directions", "Directions", directions),
    Section("encoders", "Encoders", "Encoders", encoders),
    Section("skipped", "Skipped", "What was skipped, and why", skipped),
    Section("notices", "Notices", "Notices", notices),
)
