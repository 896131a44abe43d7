"""The report: one self-contained HTML page made of the pipeline's tables.

The package may import `study` and what lies below.
"""

from __future__ import annotations

from ganvert.report.inputs import SHOWN_OF_CODES, ReportInputs, ReportOptions
from ganvert.report.overview import overview
from ganvert.report.page import build_report

__all__ = ["SHOWN_OF_CODES", "ReportInputs", "ReportOptions", "build_report", "overview"]
