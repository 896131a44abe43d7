"""Directions on other rows of ws than their own: ``smile@4:8``, and the ranges of rows that have names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from ganvert.base.errors import ParamsError
from ganvert.directions.base import Direction, choose
from ganvert.generators.base import Generator

__all__ = ["choose_rows", "movable_rows", "named_rows", "split_rows"]

#: Name -> largest side of the feature maps that its rows shape [px]: the coarse, middle and fine styles of StyleGAN
#: (Karras et al. 2019, section 3.1).
_SIDES = {"pose": 8, "face": 32, "style": 1 << 30}


def choose_rows(known: Mapping[tuple[str, str], Direction], text: str, space: str, num_ws: int) -> Direction:
    """Return the direction NAME, or that of NAME@FIRST:END on those rows of ws instead of its own.

    Args:
        known: (name, space) to direction.
        text: NAME or NAME@FIRST:END.
        space: z or w, where the codes move.
        num_ws: rows of ws of the generator.

    Raises:
        UnknownNameError: there is no such direction.
        ParamsError: rows that the generator, or a direction with a vector for each row, does not have; or a direction
            of S, whose vector belongs to its rows.
    """
    name, rows = split_rows(text)
    direction = choose(known, name, space)
    if rows is None:
        return direction
    (first, last), (start, end) = movable_rows(direction, num_ws), rows
    if not first <= start < end <= last:
        given = text.partition("@")[2]
        raise ParamsError(f"direction {text}: wanted NAME@FIRST:END with rows of {first}:{last}, got {given!r}")
    if direction.space == "s" and (start, end) != (first, last):
        raise ParamsError(f"direction {text}: one of S moves all of its rows, {first}:{last}; name no others")
    vector = direction.vector if direction.vector.ndim == 1 else direction.vector[start - first : end - first]
    return dataclasses.replace(direction, vector=vector, first_row=start, last_row=end)


def split_rows(text: str) -> tuple[str, tuple[int, int] | None]:
    """Return the name of NAME or NAME@FIRST:END, and the rows, None without any; (0, 0) for what is no range.

    >>> split_rows("smile@4:8"), split_rows("smile"), split_rows("smile@all")
    (('smile', (4, 8)), ('smile', None), ('smile', (0, 0)))
    """
    name, at, rows = text.partition("@")
    if not at:
        return name, None
    found = re.fullmatch(r"([0-9]{1,4}):([0-9]{1,4})", rows)
    return name, (int(found[1]), int(found[2])) if found else (0, 0)


def movable_rows(direction: Direction, num_ws: int) -> tuple[int, int]:
    """Return the half-open range of rows that a direction has a vector for: all for a single vector of Z or W."""
    if direction.vector.ndim == 1 and direction.space != "s":
        return 0, num_ws
    return direction.first_row, direction.last_row


def named_rows(generator: Generator) -> dict[str, tuple[int, int]]:
    """Return half-open ranges of rows: pose, face and style by the side of the maps that they shape, and all.

    A generator without maps of such a side has no range of that name; one without coarse maps, whose rows all shape
    fine ones, has no others either.
    """
    # In networks whose colours share a row with the next convolution, that one is finer.
    sides: dict[int, int] = {}
    for slot in generator.style_layout:
        sides[slot.row] = max(sides.get(slot.row, 0), slot.resolution)
    found, start = {}, 0
    for name, side in _SIDES.items():
        end = next((row for row in range(start, generator.num_ws) if sides.get(row, side) > side), generator.num_ws)
        if not end:
            break
        if end > start:
            found[name] = start, end
        start = end
    return {**found, "all": (0, generator.num_ws)}
