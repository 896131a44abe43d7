"""Tables as CSV, and as LaTeX for a paper (package booktabs)."""

from __future__ import annotations

import csv
import io
import re

from ganvert.report.study.sheets import Sheet

__all__ = ["csv_text", "latex_text"]

_FORMULA = re.compile(r"\s*[=+@-]")  # spreadsheets skip white space
_NUMBER = r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}((; | to | of ){_NUMBER})*")

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "\n": " ",
}


def csv_text(sheet: Sheet) -> str:
    """Return a table as CSV with a header; what programs count with is in the Parquet tables."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    # A cell that begins with = + - or @ is a formula to a spreadsheet, and names of files come from anybody.
    for row in (sheet.header, *sheet.rows):
        writer.writerow([_plain(cell.replace("\n", "; ")) for cell in row])
    return out.getvalue()


def latex_text(sheet: Sheet) -> str:
    """Return a table as LaTeX: a tabular in a table, with title and note as its caption."""
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\small",
        rf"\begin{{tabular}}{{l{'r' * (len(sheet.header) - 1)}}}",
        r"\toprule",
    ]
    body = [" & ".join(map(_escaped, row)) + r" \\" for row in (sheet.header, *sheet.rows)]
    caption = _escaped(f"{sheet.title}. {sheet.note}".strip())
    lines += [body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, rf"\caption{{{caption}}}", rf"\label{{tab:{sheet.name}}}", r"\end{table}", ""])


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _plain(cell: str) -> str:
    """Return a cell with a quote in front where it would be a formula: numbers and their intervals are none."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBERS.fullmatch(cell) else cell
