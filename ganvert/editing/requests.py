"""The grammar of amounts: ``smile=2``, ``smile=-2,0,2``, ``smile=-2:2:5``, ``smile=p90``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from ganvert.base.errors import ParamsError
from ganvert.editing.amounts import Amount, Percentile, amount_text, read_amount

__all__ = ["MOST_CELLS", "cells_of", "label", "read_amounts"]

#: Pictures of one photograph; a slip such as -2:2:50000 would fill the disk.
MOST_CELLS = 1000


def read_amounts(text: str, option: str = "--direction") -> tuple[str, list[Amount]]:
    """Return name and amounts of NAME=AMOUNTS.

    Amounts are numbers with commas between, FIRST:LAST:COUNT for that many in equal steps, both ends included, and
    percentiles of the samples such as p90.

    >>> read_amounts("smile=-2:2:5")
    ('smile', [-2.0, -1.0, 0.0, 1.0, 2.0])

    Raises:
        ParamsError: something else, the same amount twice, or more than :data:`MOST_CELLS`.
    """
    name, sign, listed = text.partition("=")
    wanted = f"{option}: wanted NAME=AMOUNTS such as smile=2, smile=-2,0,2, smile=-2:2:5 or smile=p90, got {text!r}"
    if not (name and sign):
        raise ParamsError(wanted)
    amounts = list[Amount]()
    for part in listed.split(","):
        try:
            amounts += _range(part) if ":" in part else [read_amount(part)]
        except ParamsError as error:
            raise ParamsError(f"{wanted}: {error}") from error
        except ValueError as error:
            raise ParamsError(wanted) from error
    if not all(isinstance(amount, Percentile) or math.isfinite(amount) for amount in amounts):
        raise ParamsError(wanted)
    if len(set(amounts)) != len(amounts):
        raise ParamsError(f"{option}: wanted different amounts, got {text!r}")
    return name, amounts


def _range(text: str) -> list[float]:
    """Return the numbers of FIRST:LAST:COUNT; raises ValueError for anything else."""
    first, last, count = text.split(":")
    start, end, number = float(first), float(last), int(count)
    if not 2 <= number <= MOST_CELLS:
        raise ValueError(text)
    # Rounded: 0.30000000000000004 is no name for a file. Both ends stay as they were given.
    between = (round(start + (end - start) * i / (number - 1), 9) + 0.0 for i in range(1, number - 1))
    return [start, *between, end]


def cells_of(series: Sequence[tuple[str, list[Amount]]]) -> list[tuple[Amount, ...]]:
    """Return every combination of the amounts, those of the last direction next to each other.

    Raises:
        ParamsError: a direction is named twice, or there are more than :data:`MOST_CELLS`.
    """
    names = [name for name, _ in series]
    if len(set(names)) != len(names):
        raise ParamsError(
            f"--direction: every direction once, got {', '.join(names)}; "
            "several amounts of one are smile=-2,0,2 or smile=-2:2:5"
        )
    if (count := math.prod(len(amounts) for _, amounts in series)) > MOST_CELLS:
        raise ParamsError(f"--direction: {count} pictures a photograph; wanted at most {MOST_CELLS}")
    return list(itertools.product(*(amounts for _, amounts in series)))


def label(names: Sequence[str], amounts: Sequence[Amount], between: str = "_") -> str:
    """Return what names of files and captions call an edit, such as ``smile+2_age-1`` or ``smile_p90``."""
    texts = [f"_{amount_text(amount)}" if isinstance(amount, Percentile) else amount_text(amount) for amount in amounts]
    return between.join(f"{name}{text}" for name, text in zip(names, texts, strict=True))
