"""Directions on chosen rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

from ganvert.base.errors import ParamsError, UnknownNameError
from ganvert.cli.rows import choose_rows
from ganvert.codes import Code
from ganvert.directions import Direction
from ganvert.images import to_pil

Run = Callable[..., Result]
VECTOR = np.eye(16)[0]
ROWS = np.arange(48).reshape(3, 16) / 187.0
KNOWN = {
    ("smile", "w"): Direction("smile", "w", "test", VECTOR, 0.5, 3, 7),
    ("each", "wplus"): Direction("each", "wplus", "test", ROWS, 0.5, 2, 5),
}


def test_rows_replace_those_of_the_direction() -> None:
    assert choose_rows(KNOWN, "smile", "w", 8) is KNOWN["smile", "w"]
    chosen = choose_rows(KNOWN, "smile@0:4", "w", 8)
    assert (chosen.first_row, chosen.last_row, chosen.unit) == (0, 4, 0.5)
    np.testing.assert_array_equal(chosen.vector, VECTOR)


def test_a_vector_per_row_keeps_those_of_its_rows() -> None:
    chosen = choose_rows(KNOWN, "each@3:5", "w", 8)
    assert (chosen.first_row, chosen.last_row) == (3, 5)
    np.testing.assert_array_equal(chosen.vector, ROWS[1:])


@pytest.mark.parametrize("text", ["smile@", "smile@4", "smile@4:4", "smile@5:4", "smile@0:9", "smile@-1:4", "each@1:4"])
def test_rows_that_there_are_not(text: str) -> None:
    rows = "2:5" if text.startswith("each") else "0:8"
    with pytest.raises(ParamsError, match=f"--direction: {text}: wanted NAME@FIRST:END with rows of {rows}"):
        choose_rows(KNOWN, text, "w", 8)
    with pytest.raises(UnknownNameError, match="Did you mean 'smile'"):
        choose_rows(KNOWN, "smiel@0:4", "w", 8)


def test_rows_have_amounts_of_their_own(tiny_run: Run, table: list[Code], directions: Path) -> None:
    moves = ("--directions", directions, "--direction", "smile@0:2=2", "--direction", "smile@5:8=-1")
    done = tiny_run("edit", "--codes", "out/codes.parquet", "--image", table[0].image_id, *moves, "--out", "edited")
    assert done.exit_code == 0, done.output
    variables = {name: value.clone() for name, value in table[0].variables.items()}
    variables["ws"][:, 0:2, 0] += torch.tensor(0.5 * 2)
    variables["ws"][:, 5:8, 0] -= torch.tensor(0.5)
    (expected,) = to_pil(table[0].space.generator.synthesize(table[0].synthesis_input(variables)))
    (path,) = Path("edited").glob("*_smile@0-2+2_smile@5-8-1.png")
    assert Image.open(path).convert("RGB").tobytes() == expected.tobytes()
