"""From tables to the HTML of the report: one page that needs no other file.

Nothing here reads the clock, the machine or the network, so the same inputs give the same bytes. Every text of a table
(file names, reasons) goes through the template's escaping.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from ganvert.report.inputs import ReportInputs, ReportOptions
from ganvert.report.run import Run
from ganvert.report.views import SECTIONS
from ganvert.report.views.facts import facts

__all__ = ["build_report", "render"]


def build_report(inputs: ReportInputs, options: ReportOptions) -> str:
    """Return the whole page.

    Args:
        inputs: tables and pictures.
        options: title and sizes.

    Returns:
        HTML that needs no other file and no network. Its one script enlarges pictures.

    Raises:
        TableError: the tables are of different runs.
    """
    run = Run.of(inputs, options)
    shown = [(section, view) for section in SECTIONS if (view := section.view(run)) is not None]
    return render("page.html.j2", title=options.title, facts=facts(run), sections=shown)


def render(template: str, **values: Any) -> str:
    """Return a page made of a template of this folder, with the script that enlarges pictures in `script`.

    Args:
        template: its file name.
        values: what it shows; every text is escaped.
    """
    import jinja2
    import markupsafe

    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The page's policy names the script by its hash, so that the browser runs no other, whatever stands in a table.
    script = (folder / "lightbox.js").read_text()
    script_hash = "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        script=markupsafe.Markup(script), script_hash=script_hash, **values
    )
