"""Edits by name: from codes and a direction to the input of synthesis.

A new edit is one file and one line here. The package may import `directions` and what lies below.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ganvert.codes import Codes
from ganvert.directions import Direction
from ganvert.editing.edits.shift import shift
from ganvert.generators.base import SynthesisInput

__all__ = ["EDITS"]

#: name -> function(codes, direction, amount)
EDITS: dict[str, Callable[[Codes, Direction, float], SynthesisInput]] = {
    "shift": shift,
    "geodesic": partial(shift, how="geodesic"),
    "stepped": partial(shift, how="stepped"),
}
