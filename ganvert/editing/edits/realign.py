"""Moving a code along directions with what its rows lack: HFGI's edit (Wang et al. 2022, arXiv 2109.06590)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ganvert.base.errors import UnsupportedError
from ganvert.directions import Direction
from ganvert.editing.contract import EditInputs, Needs
from ganvert.editing.edits.shift import Shift
from ganvert.encoders import Encoder, JointEncoder
from ganvert.encoders.heads.consultation import ConsultationHead
from ganvert.generators.base import SynthesisInput
from ganvert.images import from_pil
from ganvert.spaces import Space
from ganvert.spaces.modulated import Modulated

__all__ = ["Realign"]


@dataclass(frozen=True, kw_only=True)
class Realign(Shift):
    """The rows moved along directions, and the modulation made anew for the picture that the moved rows draw.

    What the rows lack of the photograph is brought to where the moved rows draw its parts, and read again. The networks
    that do both are the encoder's, and too large to be stored with every code: the edit takes them from the method's
    context, and the photograph from its crop.
    """

    @property
    def needs(self) -> Needs:
        return Needs(direction=True, pictures=True, context=True)

    def check_space(self, space: Space, directions: Sequence[Direction]) -> None:
        super().check_space(space, directions)
        if not isinstance(space, Modulated):
            raise UnsupportedError(
                f"space {space.name!r}: its codes have no modulation; wanted codes of a method such as hfgi (c64/wplus)"
            )

    def check(self, inputs: EditInputs, amount: float) -> None:
        super().check(inputs, amount)
        assert inputs.context is not None  # declared in needs
        _head(inputs.context.require_encoder())

    @torch.no_grad()
    def apply(self, inputs: EditInputs, amount: float) -> SynthesisInput:
        code = inputs.code
        if not any(amount * share for _, share in inputs.directions):
            return code.synthesis_input()
        space = code.space
        assert isinstance(space, Modulated) and inputs.context is not None and inputs.picture is not None
        head, device = _head(inputs.context.require_encoder()), space.generator.w_avg.device
        moved = super().apply(inputs, amount)
        drawn, edited = (
            space.generator.synthesize(space.without(part), px=head.px) for part in (code.synthesis_input(), moved)
        )
        return space.add(moved, head.consult(from_pil([inputs.picture]).to(device), drawn, edited))


def _head(encoder: Encoder | JointEncoder) -> ConsultationHead:
    """Return the head that makes modulations; of several encoders that of the last one, as in predictions."""
    members = encoder.members if isinstance(encoder, JointEncoder) else (encoder,)
    for member in reversed(members):
        for head in member.heads.values():
            if isinstance(head, ConsultationHead):
                return head.eval()
    raise UnsupportedError(
        "the encoder has no head consultation; wanted the one that the codes are from (params: invert.methods.NAME)"
    )
