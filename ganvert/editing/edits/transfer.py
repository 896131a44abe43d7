"""Editing by one pair of photographs: what changed from one to the other changes on other images (PadInv, 4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ganvert.base.registry import lookup
from ganvert.editing.contract import Edit, EditInputs, Needs
from ganvert.editing.parts import PARTS, names_of
from ganvert.generators.base import SynthesisInput
from ganvert.spaces import Space, Variables

__all__ = ["Transfer", "transferred"]


@dataclass(frozen=True, kw_only=True)
class Transfer(Edit):
    """The code changed as a pair of reference codes differs; amount 1 is the pair's change.

    Drawn with the image's own noise and generator: a change of codes can be drawn by any generator.

    Attributes:
        part: what follows. PadInv edits the padding alone ("own") for spatial attributes such as glasses or bangs, and
            the detail alone for others such as colours or a smile.
    """

    part: str = "own"

    def __post_init__(self) -> None:
        lookup(PARTS, self.part, "part")

    @property
    def needs(self) -> Needs:
        return Needs(references=("before", "after"), part=self.part)

    def apply(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        code, (before, after) = inputs.code, inputs.references
        moved = transferred(code.space, before.variables, after.variables, code.variables, self.part, amount)
        return code.synthesis_input(moved)


def transferred(
    space: Space,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    part: str = "own",
    amount: float = 1.0,
) -> Variables:
    """Return `target` with a part of it changed as it changes from `before` to `after`.

    In flat spaces it is ``target + amount * (after - before)``. Detail codes on spheres are retracted afterwards.

    Args:
        space: of all three codes.
        before: a photograph's code [1, ...].
        after: the code of the same photograph with something changed on it [1, ...].
        target: codes of the photographs to edit [N, ...].
        part: what follows; see :class:`Transfer`.
        amount: 1 is the change of the pair.

    Returns:
        Codes [N, ...]; variables that do not follow are the target's own tensors.

    Raises:
        UnknownNameError, UnsupportedError, ShapeError: no such part, or not codes of this space.
    """
    # Spatial changes live in padding, changes of style in ws (PadInv, section 4.4): no mask is needed to keep the rest
    # of the picture, because the part that does not follow is not touched.
    moving = names_of(space, part)
    for code in (before, after, target):
        space.check(code)
    moved = dict(target)
    for name in moving:
        # In float64, so that a pair applied to its own first photograph gives the second one to the last bit.
        step = amount * (after[name].double() - before[name].double())
        moved[name] = (target[name].double() + step).to(target[name])
    if part != "own":  # retraction concerns the detail alone, and works in place: on the tensors made above
        space.retract_(moved)
    return moved
