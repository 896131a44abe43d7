"""Z and Z+: codes before the mapping network, on the sphere of radius sqrt(z_dim)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganvert.errors import UnsupportedError
from ganvert.generators.base import SynthesisInput
from ganvert.seeds import normal
from ganvert.spaces.base import Move, Space, Variables, to_sphere

__all__ = ["Z", "ZPlus"]


class ZPlus(Space):
    """One z per row of ws, each on its own sphere (F/Z+ paper, section 3.2)."""

    name = "zplus"
    direction_space = "z"
    starts_from_ws = False

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"z": (self.rows, self.generator.z_dim)}

    def from_random(self, seeds: Sequence[int]) -> Variables:
        return {"z": to_sphere(normal(seeds, self.shapes["z"]).to(self.generator.w_avg))}

    def from_ws(self, ws: Tensor) -> Variables:
        raise UnsupportedError(
            f"space {self.name!r} cannot start from w codes (the mapping has no inverse): use random"
        )

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        return self.whole(self.generator.map_rows(variables["z"], self.first_row))

    @torch.no_grad()
    def retract_(self, variables: Variables) -> None:
        variables["z"].copy_(to_sphere(variables["z"]))

    def move(self, variables: Mapping[str, Tensor], moves: Sequence[Move]) -> SynthesisInput:
        """``z_i + a n``, then back onto the sphere (section 3.4)."""
        z = variables["z"].expand(-1, self.rows, -1).clone()
        for vector, (first, last) in moves:
            z[:, max(first - self.first_row, 0) : max(last - self.first_row, 0)] += vector.to(z)
        return SynthesisInput(ws=self.whole(self.generator.map_rows(to_sphere(z), self.first_row)))


class Z(ZPlus):
    """A single z for all rows."""

    name = "z"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"z": (1, self.generator.z_dim)}

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        return self.whole(self.generator.map(variables["z"][:, 0])[:, self.first_row :])
