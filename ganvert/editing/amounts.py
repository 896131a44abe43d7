"""Amounts of edits: standard deviations as numbers, and percentiles of the samples as ``p90``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ganvert.base.errors import ParamsError
from ganvert.base.texts import brief

__all__ = ["Amount", "Percentile", "amount_text", "read_amount"]


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
