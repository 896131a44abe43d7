"""Moving a code along a direction: ``w_i + a n`` on the direction's rows (F/Z+ paper, section 3.4)."""

from __future__ import annotations

import torch

from ganvert.base.errors import UnsupportedError
from ganvert.codes import Codes
from ganvert.directions import Direction
from ganvert.generators.base import SynthesisInput
from ganvert.spaces import Motion

__all__ = ["shift"]


def shift(codes: Codes, direction: Direction, amount: float, how: Motion = "retract_once") -> SynthesisInput:
    """Codes moved by `amount` of the direction's units (standard deviations of the samples).

    `how` is the way that codes on spheres follow (:mod:`ganvert.spaces.sphere`); W, P_N and S know only one.

    Raises:
        UnsupportedError: the direction belongs to another space.
    """
    if direction.space != codes.space.direction_space:
        raise UnsupportedError(
            f"direction {direction.name!r} lives in {direction.space}, {codes.method} codes move in "
            f"{codes.space.direction_space}; use the direction found for that space"
        )
    device = codes.space.generator.w_avg.device
    vector = torch.from_numpy(direction.step(amount)).to(device)
    variables = {name: value.to(device) for name, value in codes.variables.items()}
    return codes.with_noise(codes.space.shift(variables, vector, (direction.first_row, direction.last_row), how))
