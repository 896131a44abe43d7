"""The space contract: which variables a code has, and how they become something a generator can be told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganvert.errors import UnsupportedError
from ganvert.generators.base import Generator, SynthesisInput, check_shape

__all__ = ["Space", "Variables"]

#: Variable name to [N, *shape].
Variables = dict[str, Tensor]


class Space(ABC):
    """A latent space of one generator."""

    name: str
    #: Space of the direction vectors that :meth:`shift` takes: "z" or "w".
    direction_space: str

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

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

    def shift(self, variables: Mapping[str, Tensor], vector: Tensor, rows: tuple[int, int]) -> SynthesisInput:
        """The codes moved by `vector` [dim] (amount included) on rows [first, last) of ws, ready to be drawn.

        Moving only some rows of a W or Z code leaves that space for W+ or Z+; hence no variables are returned.
        """
        moved = self.to_rows(variables).clone()
        moved[:, rows[0] : rows[1]] += vector.to(moved)
        return self.decode_rows(moved)

    @abstractmethod
    def to_rows(self, variables: Mapping[str, Tensor]) -> Tensor:
        """The code as one vector of the direction space per row of ws: [N, num_ws, dim]."""

    @abstractmethod
    def decode_rows(self, rows: Tensor) -> SynthesisInput:
        """What the generator is told for rows of :meth:`to_rows`, put back on the manifold first."""

    def check(self, variables: Mapping[str, Tensor]) -> None:
        """Raise ShapeError or UnsupportedError unless these are codes of this space and generator."""
        if set(variables) != set(self.shapes):
            raise UnsupportedError(f"space {self.name!r} has variables {sorted(self.shapes)}, got {sorted(variables)}")
        for name, shape in self.shapes.items():
            check_shape(variables[name], (None, *shape), f"{self.name} code {name!r}")


def to_sphere(z: Tensor) -> Tensor:
    """Scale z to the sphere of radius sqrt(dim) along the last axis (F/Z+ paper, eq. 5)."""
    return z * (z.shape[-1] ** 0.5 / z.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny))
