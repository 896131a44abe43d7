"""Z and Z+: codes before the mapping network, on the sphere of radius sqrt(z_dim)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganvert.errors import UnsupportedError
from ganvert.generators.base import SynthesisInput
from ganvert.seeds import normal
from ganvert.spaces.base import Space, Variables, to_sphere

__all__ = ["Z", "ZPlus"]


class ZPlus(Space):
    """One z per row of ws, each on its own sphere (F/Z+ paper, section 3.2)."""

    name = "zplus"
    direction_space = "z"

    @property
    def rows(self) -> int:
        """Number of independent z."""
        return self.generator.num_ws

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
        return self.generator.map_rows(variables["z"])

    @torch.no_grad()
    def retract_(self, variables: Variables) -> None:
        variables["z"].copy_(to_sphere(variables["z"]))

    def to_rows(self, variables: Mapping[str, Tensor]) -> Tensor:
        return variables["z"].expand(-1, self.generator.num_ws, -1)

    def decode_rows(self, rows: Tensor) -> SynthesisInput:
        return SynthesisInput(ws=self.generator.map_rows(to_sphere(rows)))


class Z(ZPlus):
    """A single z for all rows."""

    name = "z"

    @property
    def rows(self) -> int:
        return 1

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        return self.generator.map(variables["z"][:, 0])
