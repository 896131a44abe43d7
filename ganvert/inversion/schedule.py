"""How the learning rate rises and falls."""

from __future__ import annotations

import math
from typing import Protocol

__all__ = ["Schedule", "learning_rate"]


class Schedule(Protocol):
    """Options with a schedule: `lr` at full height, and the fractions of the steps spent rising and falling."""

    @property
    def steps(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def ramp_up(self) -> float: ...
    @property
    def ramp_down(self) -> float: ...


def learning_rate(step: int, options: Schedule) -> float:
    """Height of the schedule at a step (StyleGAN2 projector: linear rise, flat, cosine fall)."""
    t = step / options.steps
    height = 1.0
    if options.ramp_down:
        fall = min(1.0, (1.0 - t) / options.ramp_down)
        height *= 0.5 - 0.5 * math.cos(math.pi * fall)
    if options.ramp_up:
        height *= min(1.0, t / options.ramp_up)
    return options.lr * height
