"""The page of a study, with its tables as CSV and LaTeX: what is measured beside what the papers print.

The package may import `study` and what lies below.
"""

from __future__ import annotations

from ganvert.report.study.inputs import StudyTables, read_study
from ganvert.report.study.write import write_study

__all__ = ["StudyTables", "read_study", "write_study"]
