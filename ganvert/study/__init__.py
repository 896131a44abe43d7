"""The study: methods times photographs times seeds, measured as the papers do, beside what they print.

Codes come from :func:`ganvert.extraction.extract`, so that a cell is inverted once, whoever asks for it; a section says
what is measured on them. The package may import `extraction` and what lies below.
"""

from __future__ import annotations

from ganvert.study.cells import Cell, make_cells
from ganvert.study.comparison import compare, non_inferiority
from ganvert.study.options import StudyOptions, metrics_for
from ganvert.study.published import Published, published
from ganvert.study.run import Study, plan_cells, run_study
from ganvert.study.sections import SECTIONS

__all__ = [
    "SECTIONS",
    "Cell",
    "Published",
    "Study",
    "StudyOptions",
    "compare",
    "make_cells",
    "metrics_for",
    "non_inferiority",
    "plan_cells",
    "published",
    "run_study",
]
