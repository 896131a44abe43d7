"""Edits by name: from codes and a direction to what the generator is told."""

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
