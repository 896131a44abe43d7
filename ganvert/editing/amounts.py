"""Amounts of edits: steps as numbers, percentiles of the samples as ``p90``, and how far a direction is good for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganvert.base.errors import ParamsError
from ganvert.base.texts import brief

if TYPE_CHECKING:
    from ganvert.directions import Direction

__all__ = ["LIMIT", "Amount", "Percentile", "amount_text", "reach", "read_amount"]

#: Standard deviations of the samples that a direction is good for on either side where nothing else is known.
LIMIT = 4.0


@dataclass(frozen=True)
class Percentile:
    """An amount that takes a code to a percentile of the samples along a direction (:mod:`ganvert.editing.population`).

    Raises:
        ParamsError: below 0 or above 100.
    """

    value: float

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 100:
            raise ParamsError(f"amount p{self.value:g}: wanted a percentile from p0 to p100; beyond, use numbers")


#: A number of standard deviations of the samples, or a percentile.
Amount = float | Percentile


def read_amount(value: str | float) -> Amount:
    """Return the amount of a number or text, such as 2, "-1.5" or "p90".

    Raises:
        ParamsError: neither, or a percentile outside of 0 to 100.
    """
    text = str(value)
    percentile = text.startswith("p")
    try:
        number = float(text.removeprefix("p"))
    except ValueError as error:
        raise ParamsError(f"amount: wanted a number, or a percentile such as p90, got {brief(value)}") from error
    if not math.isfinite(number):
        raise ParamsError(f"amount: wanted a number, got {brief(value)}")
    return Percentile(number) if percentile else number


def amount_text(amount: Amount) -> str:
    """Return what names of files and captions call an amount: ``+2``, ``-0.5``, ``p90``."""
    return f"p{amount.value:g}" if isinstance(amount, Percentile) else f"{amount:+g}"


def reach(direction: Direction) -> tuple[float, float]:
    """Return the least and the largest amount that a direction is good for.

    They are those that it was tested with, else :data:`LIMIT` standard deviations on either
    side in steps of the direction (``step``), down to a tenth.
    """
    if direction.tested is not None:
        return direction.tested
    step = direction.quality.get("step")
    end = LIMIT
    if isinstance(step, int | float) and 0 < step <= LIMIT:
        end = math.floor(10 * LIMIT / step) / 10
    return -end, end
