"""Z and Z+: codes before the mapping network, on the sphere of radius sqrt(z_dim)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganvert.base.registry import lookup
from ganvert.compute.random import normal
from ganvert.generators.base import SynthesisInput
from ganvert.spaces.base import Motion, Move, Space, Variables
from ganvert.spaces.nearest import nearest_z
from ganvert.spaces.sphere import MOTIONS, slerp, to_sphere

__all__ = ["Z", "ZPlus"]


class ZPlus(Space):
    """One z per row of ws, each on its own sphere (F/Z+, section 3.2)."""

    name = "zplus"
    direction_space = "z"

    @property
    def reads(self) -> list[int]:
        """Row of ws that each z determines."""
        return list(range(self.first_row, self.generator.num_ws))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"z": (len(self.reads), self.generator.z_dim)}

    def from_random(self, seeds: Sequence[int]) -> Variables:
        return {"z": to_sphere(normal(seeds, self.shapes["z"]).to(self.generator.w_avg))}

    def from_ws(self, ws: Tensor) -> Variables:
        count = self.shapes["z"][0]
        return {"z": nearest_z(self.generator, self.rows_of, ws[:, self.reads], self.reads, count)}

    def rows_of(self, z: Tensor) -> Tensor:
        """Return the w of z, [N, len(reads), w_dim]: one for each that is read."""
        return self.to_ws({"z": z})[:, self.reads]

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        return self.whole(self.generator.map_rows(variables["z"], self.first_row))

    @torch.no_grad()
    def retract_(self, variables: Variables) -> None:
        # In place, because the optimiser holds this tensor; outside the graph, because equation 5 is no part of the
        # objective.
        variables["z"].copy_(to_sphere(variables["z"]))

    def move(
        self, variables: Mapping[str, Tensor], moves: Sequence[Move], how: Motion = "retract_once"
    ) -> SynthesisInput:
        """Move every z_i by the sum of the moves of its row, by default ``z_i + a n`` and a retraction (section 3.4).

        The mapping network normalises z, so without the retraction the images would be those of ``retract_once`` too.
        """
        motion = lookup(MOTIONS, how, "motion")
        # Z has one row for all: moved on some rows only, it becomes a code of Z+.
        z = variables["z"].expand(-1, len(self.reads), -1)
        # Summed first and moved once: on a sphere two moves in a row depend on their order.
        field = torch.zeros_like(z[0])
        for vector, (first, last) in moves:
            moved = [(i, row - first) for i, row in enumerate(self.reads) if first <= row < last]
            vector = vector.to(field)
            field[[i for i, _ in moved]] += vector if vector.ndim == 1 else vector[[row for _, row in moved]]
        return self.decode_rows(motion(z, field))

    def decode_rows(self, z: Tensor) -> SynthesisInput:
        """Return the inputs of the synthesis network for z [N, len(reads), z_dim]."""
        return SynthesisInput(ws=self.whole(self.generator.map_rows(z, self.first_row)))

    def between(self, name: str, a: Tensor, b: Tensor, t: float) -> Tensor:
        # A straight line leaves the sphere. The mapping network would project it back, but the path would be fast in
        # the middle and slow at the ends.
        return slerp(a, b, t)


class Z(ZPlus):
    """A single z for all rows."""

    name = "z"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"z": (1, self.generator.z_dim)}

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        return self.whole(self.generator.map(variables["z"][:, 0])[:, self.first_row :])
