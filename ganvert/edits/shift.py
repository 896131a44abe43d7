"""Moving a code along a direction: ``w_i + a n`` on the direction's rows (F/Z+ paper, section 3.4)."""

from __future__ import annotations

import torch

from ganvert.codes import Codes
from ganvert.directions import Direction
from ganvert.errors import UnsupportedError
from ganvert.generators.base import SynthesisInput

__all__ = ["shift"]


def shift(codes: Codes, direction: Direction, amount: float) -> SynthesisInput:
    """Codes moved by `amount` of the direction's units (standard deviations of the samples).

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
    return codes.with_noise(codes.space.shift(variables, vector, (direction.first_row, direction.last_row)))
