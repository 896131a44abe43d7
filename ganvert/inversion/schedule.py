"""How the learning rate rises and falls."""

from __future__ import annotations

import math
from typing import Protocol

from ganvert.base.errors import ParamsError

__all__ = ["Schedule", "check_ramps", "scheduled_rate"]


class Ramps(Protocol):
    """Options with the fractions of the steps in which a learning rate rises and falls."""

    @property
    def ramp_up(self) -> float: ...
    @property
    def ramp_down(self) -> float: ...


class Schedule(Ramps, Protocol):
    """Options with a schedule: `lr` at full height, the steps, and the ramps."""

    @property
    def steps(self) -> int: ...
    @property
    def lr(self) -> float: ...


def check_ramps(options: Ramps) -> None:
    """Raise ParamsError for ramps that are no fractions of the steps: the rate would never reach its height."""
    if not (0 <= options.ramp_up <= 1 and 0 <= options.ramp_down <= 1):
        raise ParamsError(
            f"ramp_up and ramp_down: wanted fractions of the steps, 0 to 1, got {options.ramp_up:g} and "
            f"{options.ramp_down:g}"
        )


def scheduled_rate(step: int, options: Schedule) -> float:
    """Return the learning rate of a step: a linear rise, level, then a cosine fall to 0.

    The schedule of the StyleGAN2 projector (Karras et al. 2020, arXiv 1912.04958, appendix D). Its two factors are
    multiplied, as there, so that ramps which overlap never exceed either.

    Args:
        step: 0 to ``options.steps`` - 1.
        options: the ramps; one of length 0 is left out.
    """
    t = step / options.steps
    height = 1.0
    # 0.25 and 0.05 in the projector, for the fall and the rise.
    if options.ramp_down:
        fall = min(1.0, (1.0 - t) / options.ramp_down)
        height *= 0.5 - 0.5 * math.cos(math.pi * fall)
    if options.ramp_up:
        height *= min(1.0, t / options.ramp_up)  # 0 at step 0: the first step moves nothing, as in the projector
    return options.lr * height
