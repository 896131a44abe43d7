"""The space contract: which variables a code has, and how they become something a generator can be told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ganvert.base.errors import ShapeError, UnsupportedError
from ganvert.generators.base import Generator, SynthesisInput, check_shape
from ganvert.spaces.sphere import Motion

__all__ = ["DetailInit", "Motion", "Move", "Space", "Variables", "to_device"]

#: Where the rows behind a feature map begin: at the ws that made the map, at w_avg, or at a draw from the prior.
DetailInit = Literal["ws", "mean", "random"]
#: Variable name to [N, *shape].
Variables = dict[str, Tensor]
#: A vector [dim] of the direction space (amount included) and the rows [first, last) of ws that it moves.
Move = tuple[Tensor, tuple[int, int]]


def to_device(variables: Mapping[str, Tensor], device: torch.device) -> Variables:
    """Return the variables of codes on a device; a variable that is there already is not copied."""
    return {name: value.to(device) for name, value in variables.items()}


class Space(ABC):
    """A latent space of one generator.

    Attributes:
        direction_space: space of the direction vectors that move its codes, "z" or "w".
        starts_from_ws: whether :meth:`from_ws` exists.
        tied: whether one vector stands for all coded rows of ws.
        first_row: rows of ws before it are not coded (a feature map stands for them); 0 for a whole code.
        rows: how many rows are.
    """

    name: str
    direction_space: str
    starts_from_ws: bool = True
    tied: bool = False

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

    @property
    def takes(self) -> tuple[str, ...]:
        """The parts of an encoder's prediction that it can use, any one of which is enough (default: rows of ws)."""
        return ("ws",) if self.starts_from_ws else ()

    def adopt(self, prediction: Mapping[str, Tensor], seeds: Sequence[int], detail: DetailInit = "ws") -> Variables:
        """The code that an encoder predicts.

        What the prediction does not say is filled in: rows of ws are w_avg, feature maps and padding the generator's
        own, z are random. What the space has no use for (see :attr:`takes`) is left out: a feature map for W+, say.
        Gradients flow back to the prediction.

        Args:
            prediction: "ws" [N, num_ws, w_dim], "fSIZE" [N, c, SIZE, SIZE], and "const" and "pad.CONV" as
                :class:`ganvert.spaces.pad.Pad` calls them; some of these.
            seeds: one per image, for what is random.
            detail: see :meth:`start`.

        Raises:
            UnsupportedError: the prediction says nothing that this space can use.
            ShapeError: a part is of another generator, or of another number of images than there are seeds.
        """
        return self.start(self.taken(prediction, seeds)["ws"], seeds, detail)

    def check_predictable(self) -> None:
        """Raise UnsupportedError where no encoder can predict anything of use, known before any work."""
        if not self.takes:
            raise UnsupportedError(f"no encoder predicts codes of space {self.name!r}: start from random")

    def taken(self, prediction: Mapping[str, Tensor], seeds: Sequence[int]) -> Variables:
        """The parts of a prediction that are of use, checked as :meth:`adopt` says, and "ws" in any case."""
        self.check_predictable()
        parts = {name: value for name, value in prediction.items() if name in self.takes}
        if not parts:
            says = ", ".join(prediction) or "nothing"
            raise UnsupportedError(f"the encoder predicts {says}; space {self.name!r} needs {' or '.join(self.takes)}")
        for name, value in parts.items():
            check_shape(value, (None, *self.part_shape(name)), f"{self.name}: predicted {name!r}")
            if len(value) != len(seeds):
                raise ShapeError(f"{self.name}: predicted {name!r} of {len(value)} images, wanted {len(seeds)} (seeds)")
        generator = self.generator
        return {"ws": generator.w_avg.expand(len(seeds), generator.num_ws, -1), **parts}

    def part_shape(self, name: str) -> tuple[int, ...]:
        """Shape for one image of a part of a prediction that is in :attr:`takes`."""
        del name
        return self.generator.num_ws, self.generator.w_dim

    def shift(
        self,
        variables: Mapping[str, Tensor],
        vector: Tensor,
        rows: tuple[int, int],
        how: Motion = "retract_once",
    ) -> SynthesisInput:
        """The codes moved by `vector` [dim] (amount included) on rows [first, last) of ws, ready to be drawn.

        Moving only some rows of a W or Z code leaves that space for W+ or Z+; hence no variables are returned.
        `how` is that of :meth:`move`.
        """
        return self.move(variables, [(vector, rows)], how)

    @abstractmethod
    def move(
        self, variables: Mapping[str, Tensor], moves: Sequence[Move], how: Motion = "retract_once"
    ) -> SynthesisInput:
        """The codes moved along several directions at once; their order does not matter.

        `how` tells spheres how to follow the sum of the moves (:data:`ganvert.spaces.sphere.MOTIONS`); in flat spaces
        every way is the plain sum. UnknownNameError where there is no such motion.
        """

    def interpolate(self, a: Mapping[str, Tensor], b: Mapping[str, Tensor], t: float) -> Variables:
        """Codes on the way from a to b: straight lines in flat spaces, great circles row by row on spheres.

        Args:
            a: the codes at t = 0.
            b: as many codes, those at t = 1.
            t: any real number; both ends are met bit for bit.

        Raises:
            ShapeError, UnsupportedError: not codes of this space, or of different numbers of images.
            UnsupportedError: two points of a sphere lie opposite each other.
        """
        self.check(a)
        self.check(b)
        for name, value in a.items():
            check_shape(b[name], value.shape, f"{self.name} code {name!r} at the other end")
        return {name: self.between(name, value, b[name], t) for name, value in a.items()}

    def between(self, name: str, a: Tensor, b: Tensor, t: float) -> Tensor:
        """The variable `name` on the way from a to b (default: the straight line)."""
        del name
        return torch.lerp(a, b, t)

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
