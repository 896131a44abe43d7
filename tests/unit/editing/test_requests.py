"""The grammar of amounts."""

from __future__ import annotations

import pytest

from ganvert.base.errors import ParamsError
from ganvert.editing.requests import cells_of, label, read_amounts


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("smile=2", [2]),
        ("smile=-2,0,2", [-2, 0, 2]),
        ("smile=-2:2:5", [-2, -1, 0, 1, 2]),
        ("smile=0:0.3:4,1", [0, 0.1, 0.2, 0.3, 1]),
        ("smile=1:-1:3", [1, 0, -1]),
    ],
)
def test_amounts(text: str, amounts: list[float]) -> None:
    assert read_amounts(text) == ("smile", amounts)


@pytest.mark.parametrize(
    "text",
    [
        *("smile", "=2", "smile=", "smile=x", "smile=nan", "smile=1,inf", "smile=1:2", "smile=1:2:1"),
        *("smile=1:2:3:4", "smile=1:2:2.5", "smile=1:2:1001", "smile=nan:1:3", "smile=2,2"),
    ],
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ParamsError, match=r"--direction: wanted .* got 'smile|got '=2'"):
        read_amounts(text)


def test_every_combination_of_the_amounts() -> None:
    assert cells_of([("a", [1, 2]), ("b", [3, 4])]) == [(1, 3), (1, 4), (2, 3), (2, 4)]
    assert label(["smile", "age"], (2, -0.5)) == "smile+2_age-0.5"
    with pytest.raises(ParamsError, match="every direction once"):
        cells_of([("a", [1]), ("a", [2])])
    with pytest.raises(ParamsError, match="1600 pictures a photograph"):
        cells_of([("a", list(range(40))), ("b", list(range(40)))])
