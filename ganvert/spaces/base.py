"""The space contract: which variables a code has, and how they become something a generator can be told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ganvert.errors import UnsupportedError
from ganvert.generators.base import Generator, SynthesisInput, check_shape

__all__ = ["DetailInit", "Move", "Space", "Variables"]

#: Where the rows behind a feature map begin: at the ws that made the map, at w_avg, or at a draw from the prior.
DetailInit = Literal["ws", "mean", "random"]
#: Variable name to [N, *shape].
Variables = dict[str, Tensor]
#: A vector [dim] of the direction space (amount included) and the rows [first, last) of ws that it moves.
Move = tuple[Tensor, tuple[int, int]]


class Space(ABC):
    """A latent space of one generator.

    Attributes:
        direction_space: space of the direction vectors that move its codes, "z" or "w".
        starts_from_ws: whether :meth:`from_ws` exists.
        first_row: rows of ws before it are not coded (a feature map stands for them); 0 for a whole code.
        rows: how many rows are.
    """

    name: str
    direction_space: str
    starts_from_ws: bool = True

    def __init__(self, generator: Generator, first_row: int = 0) -> None:
        self.generator, self.first_row = generator, first_row
        self.rows = generator.num_ws - first_row

    @property
    def first_coded(self) -> int:
        """First row of ws that the code says something about."""
        return self.first_row

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every variable for one image."""

    @abstractmethod
    def from_random(self, seeds: Sequence[int]) -> Variables:
        """Codes drawn from the generator's prior, one seed per image."""

    @abstractmethod
    def from_ws(self, ws: Tensor) -> Variables:
        """The code nearest to ws [N, num_ws, w_dim]; UnsupportedError where there is no such map."""

    @abstractmethod
    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        """The ws [N, num_ws, w_dim] of the codes."""

    def decode(self, variables: Mapping[str, Tensor]) -> SynthesisInput:
        """What the generator is told."""
        return SynthesisInput(ws=self.to_ws(variables))

    def retract_(self, variables: Variables) -> None:  # noqa: B027  (nothing to do is a right answer here)
        """Put the variables back on the space's manifold after a step, in place (default: nothing to do)."""

    def start(self, ws: Tensor, seeds: Sequence[int], detail: DetailInit = "ws") -> Variables:
        """Where an optimisation that knows ws begins: :meth:`from_ws`, and random what ws do not tell.

        `detail` says where the rows behind a feature map begin instead; spaces without one know only "ws".
        """
        del seeds
        if detail != "ws":
            raise UnsupportedError(f"detail_init: {detail}: space {self.name!r} has no feature map; leave it out")
        return self.from_ws(ws)

    def shift(self, variables: Mapping[str, Tensor], vector: Tensor, rows: tuple[int, int]) -> SynthesisInput:
        """The codes moved by `vector` [dim] (amount included) on rows [first, last) of ws, ready to be drawn.

        Moving only some rows of a W or Z code leaves that space for W+ or Z+; hence no variables are returned.
        """
        return self.move(variables, [(vector, rows)])

    @abstractmethod
    def move(self, variables: Mapping[str, Tensor], moves: Sequence[Move]) -> SynthesisInput:
        """The codes moved along several directions at once; their order does not matter."""

    def whole(self, rows: Tensor) -> Tensor:
        """Coded rows [N, rows, w_dim] with w_avg in the rows that are not coded: [N, num_ws, w_dim]."""
        if not self.first_row:
            return rows
        return torch.cat([self.generator.w_avg.to(rows).expand(len(rows), self.first_row, -1), rows], dim=1)

    def check(self, variables: Mapping[str, Tensor]) -> None:
        """Raise ShapeError or UnsupportedError unless these are codes of this space and generator."""
        if set(variables) != set(self.shapes):
            raise UnsupportedError(f"space {self.name!r} has variables {sorted(self.shapes)}, got {sorted(variables)}")
        for name, shape in self.shapes.items():
            check_shape(variables[name], (None, *shape), f"{self.name} code {name!r}")


def to_sphere(z: Tensor) -> Tensor:
    """Scale z to the sphere of radius sqrt(dim) along the last axis (F/Z+ paper, eq. 5)."""
    return z * (z.shape[-1] ** 0.5 / z.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny))
