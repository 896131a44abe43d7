"""Short texts of values for messages: of one line and bounded length, whatever the value holds."""

from __future__ import annotations

import reprlib
from collections.abc import Callable

__all__ = ["brief", "shortened"]


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 120
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = 12

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write integers of more than 4300 digits.
        return repr(x) if x.bit_length() <= 64 else f"a number of {x.bit_length()} bits"


def brief(value: object) -> str:
    """Return ``repr(value)``, shortened in the middle.

    >>> brief([1, "a"]), brief(1 << 99)
    ("[1, 'a']", 'a number of 100 bits')
    """
    return _Brief().repr(value)


def shortened(text: str, most: float, size: Callable[[str], float] = len) -> str:
    """Return the text with its middle left out, so that its size is at most `most`: names often differ at their ends.

    >>> shortened("bioguide-B001223.jpg", 12)
    'biogu....jpg'
    """
    if size(text) <= most:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head = (kept + 1) // 2
        short = f"{text[:head]}...{text[len(text) - (kept - head) :]}"
        if size(short) <= most:
            return short
    return "..."
