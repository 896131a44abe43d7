"""Directions on chosen rows of ws: ``smile@4:8=2``, so that coarse and fine rows can have amounts of their own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ganvert.base.errors import ParamsError

if TYPE_CHECKING:
    from ganvert.directions import Direction

__all__ = ["choose_rows"]


def choose_rows(known: Mapping[tuple[str, str], Direction], text: str, space: str, num_ws: int) -> Direction:
    """Return the direction NAME, or that of NAME@FIRST:END on those rows of ws instead of its own.

    Args:
        known: (name, space) to direction.
        text: of the command line.
        space: z or w, where the codes move.
        num_ws: rows of ws of the generator.

    Raises:
        UnknownNameError: there is no such direction.
        ParamsError: rows that the generator, or a direction with a vector for each row, does not have.
    """
    from ganvert.directions import choose

    name, at, rows = text.partition("@")
    direction = choose(known, name, space)
    if not at:
        return direction
    # A single vector goes to any rows; one that has a vector for each row has none for others.
    first, last = (0, num_ws) if direction.vector.ndim == 1 else (direction.first_row, direction.last_row)
    found = re.fullmatch(r"([0-9]{1,4}):([0-9]{1,4})", rows)
    start, end = (int(found[1]), int(found[2])) if found else (0, 0)
    if not first <= start < end <= last:
        raise ParamsError(f"--direction: {text}: wanted NAME@FIRST:END with rows of {first}:{last}, got {rows!r}")
    vector = direction.vector if direction.vector.ndim == 1 else direction.vector[start - first : end - first]
    return dataclasses.replace(direction, vector=vector, first_row=start, last_row=end)
