"""From one code to another, whole or in one part: interpolation, and the face blending of PadInv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ganvert.base.registry import lookup
from ganvert.editing.contract import Edit, EditInputs, Needs
from ganvert.editing.parts import PARTS, with_part
from ganvert.generators.base import SynthesisInput
from ganvert.spaces import Space, Variables

__all__ = ["Interpolate", "interpolated"]


@dataclass(frozen=True, kw_only=True)
class Interpolate(Edit):
    """The code on the way to a reference image's code: 0 is the code, 1 the reference, beyond it extrapolates.

    Optimised noise maps belong to their image and are not interpolated: the code keeps its own at 0, a whole code at 1
    has the reference's, and everything between is drawn with the generator's own.

    Attributes:
        part: what moves; the other part stays the code's. With "detail" and amount 1 this is the face blending of
            PadInv (section 4.3): the padding of the code, and so pose and contour, under the details of the reference.
    """

    part: str = "all"

    def __post_init__(self) -> None:
        lookup(PARTS, self.part, "part")

    @property
    def needs(self) -> Needs:
        return Needs(references=("target",), part=self.part)

    def apply(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        code, (reference,) = inputs.code, inputs.references
        # A code between two images is drawn by one network; two tuned ones have none in common.
        code.check_shares_generator(reference)
        if amount == 0:
            return code.synthesis_input()
        space = code.space
        # Both ends are reconstructions, noise maps included. Between them maps are left out: the mean of two
        # independent ones has half the variance that the generator was trained with.
        if amount == 1 and self.part == "all":
            return reference.with_noise(space.decode(reference.variables))
        return space.decode(interpolated(space, code.variables, reference.variables, amount, self.part))


def interpolated(
    space: Space, a: Mapping[str, Tensor], b: Mapping[str, Tensor], t: float, part: str = "all"
) -> Variables:
    """Return codes with a part of them on the way from a to b, while the other part stays that of a.

    Straight lines in flat spaces, great circles on spheres (:meth:`Space.interpolate`). Both ends are met, and what
    does not move stays, bit for bit.

    Raises:
        UnknownNameError, UnsupportedError, ShapeError: no such part, or not codes of this space; as `interpolate`.
    """
    # From a code to itself there is nothing to move.
    return space.interpolate(a, with_part(space, a, b, part), t)
