"""Tables of a study as files of other programs."""

from __future__ import annotations

import csv

import pytest

from ganvert.report.study.files import csv_text
from ganvert.report.study.sheets import Sheet


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1.jpg", "'=1+1.jpg"),
        ("-2+3+cmd|' /C calc'!D2.jpg", "'-2+3+cmd|' /C calc'!D2.jpg"),
        ("+1 210 555.png", "'+1 210 555.png"),
        ("\t=1.jpg", "'\t=1.jpg"),
        ("@x.jpg", "'@x.jpg"),
        ("-0.12\n-0.2 to 0.1\n3 of 4", "-0.12; -0.2 to 0.1; 3 of 4"),
        ("+0.5\n+0.1 to +0.9", "+0.5; +0.1 to +0.9"),
        ("-1e-05", "-1e-05"),
        ("me.jpg", "me.jpg"),
    ],
)
def test_no_name_is_a_formula_and_numbers_stay_numbers(cell: str, written: str) -> None:
    sheet = Sheet("skipped", "missing", "Skipped", "", ("photograph", "status"), ((cell, "no_face"),))
    assert list(csv.reader(csv_text(sheet).splitlines()))[1] == [written, "no_face"]
