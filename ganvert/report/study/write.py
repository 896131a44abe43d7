"""From the tables of a study to its page, figures, CSV and LaTeX."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ganvert.base.files import atomic_path, crc_of, mark_output, write_json
from ganvert.report.inline import InlineImage, inline_jpeg
from ganvert.report.page import render
from ganvert.report.plots import save_png, to_svg
from ganvert.report.study.figures import (
    curves,
    edit_strips,
    pair_strips,
    reconstruction_strip,
    transform_strips,
    way_curves,
)
from ganvert.report.study.files import csv_text, latex_text
from ganvert.report.study.inputs import StudyTables, read_study
from ganvert.report.study.sheets import Sheet, sheets_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["study_page", "write_study"]

_WIDEST = 2400  # px, of strips on the page
_QUALITY = 85
_PX_PER_INCH = 120  # of curves on the page
_RECORD = ".study_files.json"  # in the folder of the page: name of each file beside it to the sum of its bytes
#: Section of the page to its heading, in order.
_TITLES = {
    "reconstruction": "Reconstruction",
    "papers": "Beside the papers",
    "strength": "Editing strength",
    "out_of_range": "Out of range",
    "in_domain": "In-domain codes",
    "padding": "Padding and rows",
    "consistency": "Codes and the way back",
    "missing": "What is missing",
}


@dataclass(frozen=True)
class _Plot:
    title: str
    svg: str
    px: int  # most, across: one panel is not as wide as the page


@dataclass(frozen=True)
class _Strip:
    title: str
    picture: InlineImage


@dataclass(frozen=True)
class _PageSection:
    name: str
    title: str
    sheets: list[Sheet]
    plots: list[_Plot]
    strips: list[_Strip]


def write_study(paths: Mapping[str, Path], out: Path, title: str = "Study of inversion methods") -> Path:
    """Write study.html, a CSV and a LaTeX file for each table, and the figures as PNG, into a folder.

    What it wrote there of an earlier study, and writes no more, is deleted; files that were changed since stay.

    Args:
        paths: name of a table to its file, from :func:`ganvert.study.run_study`.
        out: the folder.
        title: of the page.

    Returns:
        The page.

    Raises:
        TableError: a table is missing or damaged.
    """
    study = read_study(paths)
    mark_output(out)
    written: list[Path] = []
    for sheet in sheets_of(study):
        for ending, text in (("csv", csv_text(sheet)), ("tex", latex_text(sheet))):
            written.append(out / f"{sheet.name}.{ending}")
            with atomic_path(written[-1]) as temporary:
                temporary.write_text(text, encoding="utf-8")
    for name, picture in _strips(study):
        written.append(out / f"{name.replace(' ', '_')}.png")
        with atomic_path(written[-1]) as temporary:
            picture.save(temporary, "PNG")
    for _, name, figure in _plots(study):
        written.append(out / f"{name}.png")
        save_png(figure, written[-1])
    page = out / "study.html"
    with atomic_path(page) as temporary:
        temporary.write_text(study_page(study, title), encoding="utf-8")
    _remove_earlier(out, written)
    return page


def _remove_earlier(out: Path, written: Sequence[Path]) -> None:
    """Delete what an earlier study wrote into the folder and this one did not, and record what this one wrote."""
    record = out / _RECORD
    earlier: dict[str, int] = json.loads(record.read_text()) if record.exists() else {}
    for name in earlier.keys() - {path.name for path in written}:
        path = out / Path(name).name
        if path.is_file() and crc_of(path) == earlier[name]:
            path.unlink()
    write_json(record, {path.name: crc_of(path) for path in written})


def study_page(study: StudyTables, title: str) -> str:
    """Return the page: HTML that needs no other file. Equal tables give equal bytes."""
    sheets, strips = sheets_of(study), list(_strips(study))
    plots: dict[str, list[_Plot]] = {}
    for section, name, figure in _plots(study):
        text = name.partition("_")[2].replace("_", " ") + " against the amount"
        px = round(_PX_PER_INCH * figure.get_figwidth())
        plots.setdefault(section, []).append(_Plot(text, to_svg(figure, name.replace("_", "-"), name), px))
    sections = []
    for name, heading in _TITLES.items():
        of_section = [sheet for sheet in sheets if sheet.section == name]
        pictures = [
            _Strip(label, inline_jpeg(picture, _WIDEST, _QUALITY))
            for label, picture in strips
            if label.startswith(f"strip {name}")
        ]
        if of_section or pictures:
            sections.append(_PageSection(name, heading, of_section, plots.get(name, []), pictures))
    return render("study.html.j2", title=title, facts=_facts(study), sections=sections)


def _facts(study: StudyTables) -> dict[str, int]:
    skipped = sum(row["status"] != "ok" for row in study.photos)
    codes = [row for row in study.scores if row["metric"] == "code"]
    return {
        "photographs": len(study.faces),
        "skipped": skipped,
        "methods": len(study.methods),
        "cells": len(codes),
        "cells without a code": sum(row["value"] is None for row in codes),
    }


def _plots(study: StudyTables) -> Iterator[tuple[str, str, Figure]]:
    """Yield the section, the name of its file, and every figure of curves."""
    for name, figure in curves(study).items():
        yield "strength", f"curves_{name}", figure
    for name, figure in way_curves(study).items():
        yield "in_domain", f"way_{name}", figure


def _strips(study: StudyTables) -> Iterator[tuple[str, Image.Image]]:
    """Yield the name and picture of every strip; the name says which section of the page it belongs to."""
    if (picture := reconstruction_strip(study)) is not None:
        yield "strip reconstruction", picture
    for direction, sheet in edit_strips(study).items():
        yield f"strip strength {direction}", sheet
    for transform, sheet in transform_strips(study).items():
        yield f"strip out_of_range {transform}", sheet
    for section in ("in_domain", "padding"):
        for number, sheet in pair_strips(study, section).items():
            yield f"strip {section} {number}", sheet
