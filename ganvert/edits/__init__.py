"""Edits by name: from codes and a direction to what the generator is told."""

from __future__ import annotations

from collections.abc import Callable

from ganvert.codes import Codes
from ganvert.directions import Direction
from ganvert.edits.shift import shift
from ganvert.generators.base import SynthesisInput

__all__ = ["EDITS"]

#: name -> function(codes, direction, amount)
EDITS: dict[str, Callable[[Codes, Direction, float], SynthesisInput]] = {"shift": shift}
