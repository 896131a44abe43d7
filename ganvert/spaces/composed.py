"""Common part of feature maps, padding and modulation: variables of their own beside those of a detail space."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.spaces.base import DetailInit, Motion, Move, Space, Variables

__all__ = ["Composed"]


class Composed(Space):
    """A space with variables of its own, which directions leave unchanged unless a subclass overrides it.

    Codes that are made of ws, and random ones, have the generator's own values (:meth:`own`) in these variables, which
    is the detail space unchanged. Encoders may predict any of them, by their names.
    """

    def __init__(self, generator: Generator, prefix: str, detail: Space) -> None:
        super().__init__(generator)
        self.detail = detail
        self.name = f"{prefix}/{detail.name}"
        self.direction_space = detail.direction_space

    @property
    @abstractmethod
    def own_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the variables that do not belong to the detail space."""

    @abstractmethod
    def add(self, synthesis_input: SynthesisInput, variables: Mapping[str, Tensor]) -> SynthesisInput:
        """Add this space's own variables to the synthesis input of the detail space."""

    def own(self, n: int) -> Variables:
        """Return the own variables of n codes that change nothing (default: zeros)."""
        return {name: self.generator.w_avg.new_zeros(n, *shape) for name, shape in self.own_shapes.items()}

    def from_random(self, seeds: Sequence[int]) -> Variables:
        return {**self.own(len(seeds)), **self.detail.from_random(seeds)}

    def from_ws(self, ws: Tensor) -> Variables:
        return {**self.own(len(ws)), **self.detail.from_ws(ws)}

    def start(self, ws: Tensor, seeds: Sequence[int], detail: DetailInit = "ws") -> Variables:
        return {**self.own(len(ws)), **self.detail.start(ws, seeds, detail)}

    @property
    def takes(self) -> tuple[str, ...]:
        return (*self.own_shapes, *self.detail.takes)

    def part_shape(self, name: str) -> tuple[int, ...]:
        return super().part_shape(name) if name == "ws" else self.own_shapes[name]

    def adopt(self, prediction: Mapping[str, Tensor], seeds: Sequence[int], detail: DetailInit = "ws") -> Variables:
        parts = self.usable_parts(prediction, seeds)
        rows = self.detail.start(parts["ws"], seeds, detail)
        # Copies, so that an optimisation in place does not write into the prediction.
        given = {name: parts[name].clone() for name in self.own_shapes if name in parts}
        return {**self.own(len(seeds)), **given, **rows}

    @property
    def first_coded(self) -> int:
        return self.detail.first_row

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {**self.own_shapes, **self.detail.shapes}

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        own = ", ".join(self.own_shapes)
        raise UnsupportedError(f"space {self.name!r} has no ws: {own} cannot be expressed in ws")

    def decode(self, variables: Mapping[str, Tensor]) -> SynthesisInput:
        # The detail space decides ws or styles; features and padding are inputs of their own beside them.
        return self.add(self.detail.decode(self._details(variables)), variables)

    def move(
        self, variables: Mapping[str, Tensor], moves: Sequence[Move], how: Motion = "retract_once"
    ) -> SynthesisInput:
        return self.add(self.detail.move(self._details(variables), moves, how), variables)

    def retract_(self, variables: Variables) -> None:
        # The mapping is new, its tensors are not: what happens in place reaches the code.
        self.detail.retract_(self._details(variables))

    def between(self, name: str, a: Tensor, b: Tensor, t: float) -> Tensor:
        if name in self.own_shapes:
            # A feature map or padding has no known manifold: a straight line is all there is, without a promise that
            # what lies on it looks real.
            return super().between(name, a, b, t)
        return self.detail.between(name, a, b, t)

    def _details(self, variables: Mapping[str, Tensor]) -> Variables:
        return {name: variables[name] for name in self.detail.shapes}
