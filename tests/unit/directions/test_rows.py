"""Directions on chosen rows, and the ranges that have names."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ganvert.base.errors import ParamsError, UnknownNameError
from ganvert.directions import Direction, choose_rows, named_rows, unconditional
from ganvert.generators.mobile_stylegan import MobileStyleGAN

VECTOR = np.eye(16)[0]
ROWS = np.arange(48).reshape(3, 16) / 187.0
KNOWN = {
    ("smile", "w"): Direction("smile", "w", "test", VECTOR, 0.5, 3, 7),
    ("each", "wplus"): Direction("each", "wplus", "test", ROWS, 0.5, 2, 5),
    ("styles", "s"): Direction("styles", "s", "test", np.eye(40)[0], 0.5, 2, 5),
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
    with pytest.raises(ParamsError, match=f"direction {text}: wanted NAME@FIRST:END with rows of {rows}"):
        choose_rows(KNOWN, text, "w", 8)
    with pytest.raises(UnknownNameError, match="Did you mean 'smile'"):
        choose_rows(KNOWN, "smiel@0:4", "w", 8)


def test_a_direction_of_s_keeps_its_rows() -> None:
    """Its vector has the styles of these rows, one after the other."""
    assert choose_rows(KNOWN, "styles@2:5", "w", 8).vector is KNOWN["styles", "s"].vector
    with pytest.raises(ParamsError, match="one of S moves all of its rows, 2:5"):
        choose_rows(KNOWN, "styles@2:4", "w", 8)


def test_named_rows_follow_the_sides_of_the_maps(tiny_generator: MobileStyleGAN) -> None:
    """Rows 1 and 2 shape maps of 8 px, 3 and 4 of 16 px, and so on; the last one has the colours."""
    assert named_rows(tiny_generator) == {"pose": (0, 3), "face": (3, 8), "all": (0, 8)}
    full = MobileStyleGAN([8] * 8, z_dim=4, w_dim=4, mapping_layers=1)
    assert named_rows(full) == {"pose": (0, 3), "face": (3, 7), "style": (7, 16), "all": (0, 16)}


def test_the_version_without_conditions_is_that_of_the_same_score() -> None:
    held = dataclasses.replace(KNOWN["smile", "w"], quality={"score": "smile_expression", "leak": {"yaw": 0.1}})
    free = dataclasses.replace(held, name="grin", quality={"score": "smile_expression", "leak": {}})
    other = dataclasses.replace(free, name="age", quality={"score": "age", "leak": {}})
    in_z = dataclasses.replace(free, space="z")
    table = {(known.name, known.space): known for known in (held, other, in_z, free)}
    assert unconditional(table, held) is free
    assert unconditional(table, free) is None and unconditional(table, KNOWN["each", "wplus"]) is None
    del table["grin", "w"]
    assert unconditional(table, held) is None
