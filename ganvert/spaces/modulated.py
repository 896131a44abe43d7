"""A modulated feature map over a space of rows, as HFGI inverts (Wang et al. 2022, arXiv 2109.06590)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor

from ganvert.generators.base import Generator, SynthesisInput
from ganvert.spaces.base import Space
from ganvert.spaces.composed import Composed
from ganvert.spaces.feature import point_of_size

__all__ = ["Modulated"]


class Modulated(Composed):
    """A ``scale`` and a ``shift`` of one feature map, and a detail space for all rows.

    What is drawn has ``x * (1 + scale) + shift`` in the place of the map x. Codes that are made of ws, and random ones,
    have zeros in both. A direction moves the rows, and the modulation stays; the edit ``realign`` makes it anew.
    """

    def __init__(self, generator: Generator, size: int, detail: type[Space]) -> None:
        self.point = point_of_size(generator, size)
        super().__init__(generator, f"c{size}", detail(generator))

    @property
    def own_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"scale": self.point.shape, "shift": self.point.shape}

    def add(self, synthesis_input: SynthesisInput, variables: Mapping[str, Tensor]) -> SynthesisInput:
        scales, shifts = {self.point.name: variables["scale"]}, {self.point.name: variables["shift"]}
        return dataclasses.replace(synthesis_input, scales=scales, deltas=shifts)

    def without(self, synthesis_input: SynthesisInput) -> SynthesisInput:
        """Return what is drawn without the modulation: the rows alone."""
        return dataclasses.replace(synthesis_input, scales=None, deltas=None)
