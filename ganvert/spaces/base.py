"""The space contract: which variables a code has, and how they become inputs of a generator."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ganvert.base.errors import ShapeError, UnsupportedError
from ganvert.generators.base import Generator, StyleSlot, SynthesisInput, check_shape
from ganvert.spaces.sphere import Motion

__all__ = ["DetailInit", "Motion", "Move", "Space", "Variables", "slots_of", "to_device"]

#: Start of the rows behind a feature map: the ws that made the map, w_avg, or a sample of the prior.
DetailInit = Literal["ws", "mean", "random"]
#: Variable name to [N, *shape].
Variables = dict[str, Tensor]
#: A vector [dim] of the direction space (amount included) and the rows [first, last) of ws that it moves; or a vector
#: for each of these rows, [last - first, dim].
Move = tuple[Tensor, tuple[int, int]]


def to_device(variables: Mapping[str, Tensor], device: torch.device) -> Variables:
    """Move the variables of codes to a device; those that are on it already are not copied."""
    return {name: value.to(device) for name, value in variables.items()}


def slots_of(generator: Generator, rows: tuple[int, int]) -> list[StyleSlot]:
    """Return the style slots that read rows [first, last) of ws, in execution order."""
    return [slot for slot in generator.style_layout if rows[0] <= slot.row < rows[1]]


class Space(ABC):
    """A latent space of one generator.

    Attributes:
        direction_space: space of the direction vectors that move its codes, "z" or "w".
        first_row: first coded row of ws; a feature map replaces the rows before it. 0 for a whole code.
        rows: number of coded rows.
    """

    name: str
    direction_space: str

    def __init__(self, generator: Generator, first_row: int = 0) -> None:
        self.generator, self.first_row = generator, first_row
        self.rows = generator.num_ws - first_row

    @property
    def first_coded(self) -> int:
        """First row of ws that acts on the image, also for composed spaces."""
        return self.first_row

    @property
    def constants(self) -> tuple[str, ...]:
        """Names of the variables that an optimisation leaves as they are (default: none)."""
        return ()

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every variable for one image."""

    @abstractmethod
    def from_random(self, seeds: Sequence[int]) -> Variables:
        """Sample codes from the generator's prior, one seed per image."""

    @abstractmethod
    def from_ws(self, ws: Tensor) -> Variables:
        """Return the code nearest to ws [N, num_ws, w_dim]."""

    @abstractmethod
    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        """Return the ws [N, num_ws, w_dim] of the codes; raises UnsupportedError if ws cannot express them."""

    def decode(self, variables: Mapping[str, Tensor]) -> SynthesisInput:
        """Return the inputs of the synthesis network that draw the codes."""
        return SynthesisInput(ws=self.to_ws(variables))

    def retract_(self, variables: Variables) -> None:  # noqa: B027  (flat spaces need nothing)
        """Project the variables back onto the space's manifold after a step, in place (default: nothing to do)."""

    def start(self, ws: Tensor, seeds: Sequence[int], detail: DetailInit = "ws") -> Variables:
        """Return the code from which an optimisation starts that knows ws.

        Args:
            ws: [N, num_ws, w_dim].
            seeds: one per image, for variables that ws do not determine.
            detail: start of the rows behind a feature map; spaces without one support only "ws".

        Raises:
            UnsupportedError: the space has no feature map for another `detail`.
        """
        del seeds
        if detail != "ws":
            raise UnsupportedError(f"detail_init: {detail}: space {self.name!r} has no feature map; leave it out")
        return self.from_ws(ws)

    @property
    def takes(self) -> tuple[str, ...]:
        """Parts of an encoder's prediction that the space uses, any of which is enough (default: rows of ws)."""
        return ("ws",)

    def adopt(self, prediction: Mapping[str, Tensor], seeds: Sequence[int], detail: DetailInit = "ws") -> Variables:
        """Return the code that an encoder predicts.

        Parts that the prediction lacks are filled in: rows of ws with w_avg, feature maps and padding with the
        generator's own. Parts that the space does not use (see :attr:`takes`) are ignored, such as a feature map for
        W+. Gradients flow back to the prediction, except through z, which is searched for.

        Args:
            prediction: some of "ws" [N, num_ws, w_dim], "fSIZE" [N, c, SIZE, SIZE], and "const" and "pad.CONV" with
                the names and shapes of :class:`ganvert.spaces.pad.Pad`.
            seeds: one per image, for random parts.
            detail: see :meth:`start`.

        Raises:
            UnsupportedError: the prediction has no part that this space uses.
            ShapeError: a part belongs to another generator, or to another number of images than there are seeds.
        """
        return self.start(self.usable_parts(prediction, seeds)["ws"], seeds, detail)

    def usable_parts(self, prediction: Mapping[str, Tensor], seeds: Sequence[int]) -> Variables:
        """Return the parts of a prediction that the space uses, checked (see :meth:`adopt`), and "ws" in any case."""
        parts = {name: value for name, value in prediction.items() if name in self.takes}
        if not parts:
            got = ", ".join(prediction) or "nothing"
            raise UnsupportedError(f"the encoder predicts {got}; space {self.name!r} needs {' or '.join(self.takes)}")
        for name, value in parts.items():
            check_shape(value, (None, *self.part_shape(name)), f"{self.name}: predicted {name!r}")
            if len(value) != len(seeds):
                raise ShapeError(f"{self.name}: predicted {name!r} of {len(value)} images, wanted {len(seeds)} (seeds)")
        generator = self.generator
        # The mean code stands in for rows that are not predicted, as by an encoder of feature maps alone.
        return {"ws": generator.w_avg.expand(len(seeds), generator.num_ws, -1), **parts}

    def part_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape for one image of a part of a prediction that is in :attr:`takes`."""
        del name
        return self.generator.num_ws, self.generator.w_dim

    def shift(
        self,
        variables: Mapping[str, Tensor],
        vector: Tensor,
        rows: tuple[int, int],
        how: Motion = "retract_once",
    ) -> SynthesisInput:
        """Move the codes by `vector` [dim] (amount included) on rows [first, last) of ws.

        Moving only some rows of a W or Z code leaves that space for W+ or Z+, so the result is a synthesis input
        instead of variables. For `how` see :meth:`move`.
        """
        return self.move(variables, [(vector, rows)], how)

    @abstractmethod
    def move(
        self, variables: Mapping[str, Tensor], moves: Sequence[Move], how: Motion = "retract_once"
    ) -> SynthesisInput:
        """Move the codes along several directions at once; the order of the moves does not matter.

        Args:
            variables: codes of this space.
            moves: the directions.
            how: how a point of a sphere follows the sum of the moves (:data:`ganvert.spaces.sphere.MOTIONS`); in flat
                spaces every motion is the plain sum.

        Raises:
            UnknownNameError: there is no such motion.
        """

    def move_styles(self, drawn: SynthesisInput, moves: Sequence[Move]) -> SynthesisInput:
        """Move the styles of what is drawn, whatever space its code is of: all codes become styles.

        Args:
            drawn: a code, decoded or moved.
            moves: vectors of S (amount included), the styles of their rows one after the other (:func:`slots_of`).
        """
        styles = self.generator.resolve_styles(drawn)
        for vector, rows in moves:
            slots = slots_of(self.generator, rows)
            for slot, part in zip(slots, vector.split([slot.width for slot in slots]), strict=True):
                styles[slot.name] = styles[slot.name] + part
        return dataclasses.replace(drawn, styles=styles)

    def interpolate(self, a: Mapping[str, Tensor], b: Mapping[str, Tensor], t: float) -> Variables:
        """Interpolate between codes: along straight lines in flat spaces, great circles row by row on spheres.

        Args:
            a: the codes at t = 0.
            b: as many codes at t = 1.
            t: any real number; both ends are reproduced bit for bit.

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
        """Interpolate the variable `name` (default: along a straight line)."""
        del name
        # Unlike a + t (b - a), lerp is exact at t = 1 too.
        return torch.lerp(a, b, t)

    def whole(self, rows: Tensor) -> Tensor:
        """Complete coded rows [N, rows, w_dim] to [N, num_ws, w_dim], with w_avg in the rows that are not coded."""
        # Those rows have no effect, since a feature map hides them, but the synthesis network reads all of them.
        if not self.first_row:
            return rows
        return torch.cat([self.generator.w_avg.to(rows).expand(len(rows), self.first_row, -1), rows], dim=1)

    def check(self, variables: Mapping[str, Tensor]) -> None:
        """Raise ShapeError or UnsupportedError unless these are codes of this space and generator."""
        if set(variables) != set(self.shapes):
            raise UnsupportedError(f"space {self.name!r} has variables {sorted(self.shapes)}, got {sorted(variables)}")
        for name, shape in self.shapes.items():
            check_shape(variables[name], (None, *shape), f"{self.name} code {name!r}")
