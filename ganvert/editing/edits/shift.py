"""Moving a code along directions: ``w_i + a n`` on each direction's rows (F/Z+ paper, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ganvert.base.registry import lookup
from ganvert.editing.contract import Edit, EditInputs, Needs
from ganvert.generators.base import SynthesisInput
from ganvert.spaces import Motion, Move
from ganvert.spaces.feature import FeatureStyle
from ganvert.spaces.sphere import MOTIONS

__all__ = ["Shift"]


@dataclass(frozen=True, kw_only=True)
class Shift(Edit):
    """The code moved by `amount` of the directions' units (standard deviations of the samples).

    Attributes:
        motion: how codes on spheres move (:data:`ganvert.spaces.sphere.MOTIONS`): "retract_once" adds and retracts,
            as the paper writes it, "geodesic" follows the flow of the direction on the sphere in closed form,
            "stepped" in a thousand steps, as the paper's code does. In flat spaces (W, P_N, S) all are the same sum.
        carried: whether what a feature map has beyond that of its rows moves with them, and fades where they change it,
            in spaces that have both (:class:`ganvert.spaces.feature.FeatureStyle`); False leaves it as it is, as
            FeatureStyleEncoder does.
    """

    motion: Motion = "retract_once"
    carried: bool = True

    def __post_init__(self) -> None:
        lookup(MOTIONS, self.motion, "motion")

    @property
    def needs(self) -> Needs:
        return Needs(direction=True)

    def apply(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        # The moves are summed before the code is put back on its manifold, so that their order does not matter.
        code = inputs.code
        space = code.space
        device = space.generator.w_avg.device
        moves: list[Move] = []
        of_styles: list[Move] = []
        for direction, share in inputs.directions:
            # A share scales the direction before the amount does: amounts then mean the same for one and for a mix.
            vector = torch.from_numpy(direction.step(amount * share)).to(device)
            (of_styles if direction.space == "s" else moves).append((vector, (direction.first_row, direction.last_row)))
        # Only these have something that may be left as it is.
        how: dict[str, Any] = {"carried": self.carried} if isinstance(space, FeatureStyle) else {}
        drawn = space.move(code.variables, moves, self.motion, **how) if moves else space.decode(code.variables)
        if of_styles:
            drawn = space.move_styles(drawn, of_styles, **how)
        # The noise maps stay: directions are found with the generator's own maps and say nothing about them.
        return code.with_noise(drawn)
