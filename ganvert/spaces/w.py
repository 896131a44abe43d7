"""W and W+: codes after the mapping network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ganvert.base.registry import lookup
from ganvert.compute.random import normal
from ganvert.generators.base import SynthesisInput
from ganvert.spaces.base import Motion, Move, Space, Variables
from ganvert.spaces.sphere import MOTIONS

__all__ = ["W", "WPlus"]


class WPlus(Space):
    """One free w per row of ws (Abdal et al. 2019)."""

    name = "wplus"
    direction_space = "w"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"ws": (self.rows, self.generator.w_dim)}

    def from_random(self, seeds: Sequence[int]) -> Variables:
        z = normal(seeds, (self.generator.z_dim,)).to(self.generator.w_avg)
        # One z for all rows: the prior of W+ is W. Rows drawn apart would be a mix of styles.
        return self.from_ws(self.generator.map(z))

    def from_ws(self, ws: Tensor) -> Variables:
        return {"ws": ws[:, self.first_row :].clone()}

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        return self.whole(variables["ws"])

    def move(
        self, variables: Mapping[str, Tensor], moves: Sequence[Move], how: Motion = "retract_once"
    ) -> SynthesisInput:
        lookup(MOTIONS, how, "motion")  # misspelled motions are refused here too, where all of them are the same sum
        # A copy: `whole` may return the code itself, and for W its rows share one memory.
        ws = self.to_ws(variables).clone()
        for vector, (first, last) in moves:
            ws[:, first:last] += vector.to(ws)
        return SynthesisInput(ws=ws)


class W(WPlus):
    """One w for all rows (Karras et al. 2019). ws that differ between rows are averaged."""

    name = "w"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": (self.generator.w_dim,)}

    def from_ws(self, ws: Tensor) -> Variables:
        # The nearest code of W, by the sum of squared distances to the rows.
        return {"w": ws[:, self.first_row :].mean(dim=1)}

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        return self.whole(variables["w"].unsqueeze(1).expand(-1, self.rows, -1))
