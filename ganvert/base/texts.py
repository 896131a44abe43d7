"""Short texts of values for messages: of one line and bounded length, whatever the value holds."""

from __future__ import annotations

import reprlib

__all__ = ["brief"]


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
