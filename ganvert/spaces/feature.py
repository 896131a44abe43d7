"""F and what is composed with it: a feature map takes the place of the coarse rows, a detail space codes the others.

F/W+ is BDInvert's (Kang et al. 2021), F/Z+ the one of arXiv 2307.08995. In FeatureStyleEncoder's space the coarse rows
stay beside the feature, so that a direction moves it too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.compute.random import normal
from ganvert.generators.base import FeaturePoint, Generator, SynthesisInput
from ganvert.spaces.base import DetailInit, Motion, Move, Space, Variables
from ganvert.spaces.composed import Composed

__all__ = ["Feature", "FeatureStyle", "point_of_size"]


def point_of_size(generator: Generator, size: int) -> FeaturePoint:
    """The coarsest feature of `size` x `size` behind the learned input: StyleGAN2's first convolution there.

    Raises:
        UnsupportedError: there is none.
    """
    points = [point for point in generator.feature_points if point.first_row]
    for point in points:
        if point.shape[1] == size:
            return point
    sizes = sorted({point.shape[1] for point in points})
    raise UnsupportedError(f"{generator.architecture} has no feature of {size} px; it has them of {sizes} px")


class Feature(Composed):
    """The feature ``f`` at one point over the rows of a detail space that still act behind it.

    The feature stays where it is when a direction moves the code: only rows of the detail space follow.
    """

    prefix: ClassVar[str] = "f"
    hides: ClassVar[bool] = True  # whether rows before the feature are left out of the code

    def __init__(self, generator: Generator, size: int, detail: type[Space]) -> None:
        self.point = point_of_size(generator, size)
        first_row = self.point.first_row if self.hides else 0
        super().__init__(generator, f"{self.prefix}{size}", detail(generator, first_row))

    @property
    def own_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"f": self.point.shape}

    def from_random(self, seeds: Sequence[int]) -> Variables:
        z = normal(seeds, (self.generator.z_dim,)).to(self.generator.w_avg)
        return {"f": self._feature(self.generator.map(z)), **self.detail.from_random(seeds)}

    def from_ws(self, ws: Tensor) -> Variables:
        return {"f": self._feature(ws), **self.detail.from_ws(ws)}

    def start(self, ws: Tensor, seeds: Sequence[int], detail: DetailInit = "ws") -> Variables:
        return {"f": self._feature(ws), **self._rows(ws, seeds, detail)}

    @property
    def takes(self) -> tuple[str, ...]:
        return f"f{self.point.shape[1]}", "ws"

    def part_shape(self, name: str) -> tuple[int, ...]:
        return super().part_shape(name) if name == "ws" else self.point.shape

    def adopt(self, prediction: Mapping[str, Tensor], seeds: Sequence[int], detail: DetailInit = "ws") -> Variables:
        parts = self.taken(prediction, seeds)
        feature = parts.get(self.takes[0])
        if feature is None:
            feature = self._feature(parts["ws"])
        return {"f": feature.clone(), **self._rows(parts["ws"], seeds, detail)}

    def add(self, told: SynthesisInput, variables: Mapping[str, Tensor]) -> SynthesisInput:
        return dataclasses.replace(told, features={self.point.name: variables["f"]})

    def _rows(self, ws: Tensor, seeds: Sequence[int], detail: DetailInit) -> Variables:
        """Where the detail begins."""
        if detail == "random" or (detail == "ws" and not self.detail.starts_from_ws):
            return self.detail.from_random(seeds)
        mean = self.generator.w_avg.expand(len(ws), self.generator.num_ws, -1)
        return self.detail.from_ws(ws if detail == "ws" else mean)

    def _feature(self, ws: Tensor) -> Tensor:
        return self._feature_of(SynthesisInput(ws=ws)).clone()

    def _feature_of(self, told: SynthesisInput) -> Tensor:
        return self.generator.features(told, [self.point.name])[self.point.name]


class FeatureStyle(Feature):
    """The feature ``f`` over all rows of a detail space: those before it draw nothing, but say how it moves.

    Where a direction takes the rows w to w', the feature f becomes ``f + (g(w') - g(w))``, with g the generator's own
    feature of these rows (FeatureStyleEncoder). A random code is one that the generator draws without the feature too.
    """

    prefix = "fs"
    hides = False

    def from_random(self, seeds: Sequence[int]) -> Variables:
        rows = self.detail.from_random(seeds)
        return {"f": self._feature_of(self.detail.decode(rows)).clone(), **rows}

    def move(
        self, variables: Mapping[str, Tensor], moves: Sequence[Move], how: Motion = "retract_once"
    ) -> SynthesisInput:
        rows = self._details(variables)
        moved = self.detail.move(rows, moves, how)
        change = self._feature_of(moved) - self._feature_of(self.detail.decode(rows))
        return self.add(moved, {**variables, "f": variables["f"] + change})
