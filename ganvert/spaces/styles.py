"""S: the outputs of the affine layers (StyleSpace, Wu et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.base.registry import lookup
from ganvert.compute.random import normal
from ganvert.generators.base import StyleSlot, SynthesisInput
from ganvert.spaces.base import Motion, Move, Space, Variables
from ganvert.spaces.sphere import MOTIONS

__all__ = ["S"]


class S(Space):
    """One vector per style slot. Directions of W act through the affine layers of the rows that they move."""

    name = "s"
    direction_space = "w"

    @property
    def slots(self) -> list[StyleSlot]:
        """Slots that read a row of this space."""
        return [slot for slot in self.generator.style_layout if slot.row >= self.first_row]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {slot.name: (slot.width,) for slot in self.slots}

    def from_random(self, seeds: Sequence[int]) -> Variables:
        z = normal(seeds, (self.generator.z_dim,)).to(self.generator.w_avg)
        return self.from_ws(self.generator.map(z))

    def from_ws(self, ws: Tensor) -> Variables:
        styles = self.generator.styles(ws)
        # Exact in this direction. There is no map back: the 9088 styles of StyleGAN2 at 1024 px fill 26 slots, which
        # read only 18 rows of ws.
        return {slot.name: styles[slot.name].clone() for slot in self.slots}

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        raise UnsupportedError("space 's' has no ws: the affine layers have no inverse")

    def decode(self, variables: Mapping[str, Tensor]) -> SynthesisInput:
        if not self.first_row:
            return SynthesisInput(styles=dict(variables))
        # The injected feature hides the slots of coarser rows, but the synthesis network needs values for them.
        n = len(next(iter(variables.values())))
        return SynthesisInput(ws=self.generator.w_avg.expand(n, self.generator.num_ws, -1), styles=dict(variables))

    def move(
        self, variables: Mapping[str, Tensor], moves: Sequence[Move], how: Motion = "retract_once"
    ) -> SynthesisInput:
        lookup(MOTIONS, how, "motion")
        generator = self.generator
        n = len(next(iter(variables.values())))
        start = generator.w_avg.expand(n, generator.num_ws, -1)
        end = start.clone()
        for vector, (first, last) in moves:
            end[:, first:last] += vector.to(end)
        # Affine layers are linear but for the bias, which cancels in the difference: the start does not matter.
        before, after = generator.styles(start), generator.styles(end)
        return self.decode({name: value + after[name] - before[name] for name, value in variables.items()})
