"""From tables to the HTML of the report: one page that needs no other file.

Nothing here reads the clock, the machine or the network, so the same inputs give the same bytes. Every text of a table
(file names, reasons) goes through the template's escaping.
"""

from __future__ import annotations

from pathlib import Path

from ganvert.report.inputs import ReportInputs, ReportOptions
from ganvert.report.run import Run
from ganvert.report.views import SECTIONS
from ganvert.report.views.facts import facts

__all__ = ["build_report"]


def build_report(inputs: ReportInputs, options: ReportOptions) -> str:
    """Return the whole page.

    Args:
        inputs: tables and pictures.
        options: title and sizes.

    Returns:
        HTML that needs no other file, no network and no script.

    Raises:
        TableError: the tables are of different runs.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    run = Run.of(inputs, options)
    shown = [(section, view) for section in SECTIONS if (view := section.view(run)) is not None]
    return environment.get_template("page.html.j2").render(title=options.title, facts=facts(run), sections=shown)
