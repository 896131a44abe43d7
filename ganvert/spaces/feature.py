"""F and what is composed with it: a feature map takes the place of the coarse rows, a detail space codes the others.

F/W+ is BDInvert's (Kang et al. 2021), F/Z+ the one of arXiv 2307.08995; F/S that of FeatureStyleEncoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganvert.errors import UnsupportedError
from ganvert.generators.base import FeaturePoint, Generator, SynthesisInput
from ganvert.seeds import normal
from ganvert.spaces.base import DetailInit, Space, Variables
from ganvert.spaces.composed import Composed

__all__ = ["Feature", "point_of_size"]


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

    def __init__(self, generator: Generator, size: int, detail: type[Space]) -> None:
        self.point = point_of_size(generator, size)
        super().__init__(generator, f"f{size}", detail(generator, self.point.first_row))

    @property
    def own_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"f": self.point.shape}

    def from_random(self, seeds: Sequence[int]) -> Variables:
        z = normal(seeds, (self.generator.z_dim,)).to(self.generator.w_avg)
        return {"f": self._feature(self.generator.map(z)), **self.detail.from_random(seeds)}

    def from_ws(self, ws: Tensor) -> Variables:
        return {"f": self._feature(ws), **self.detail.from_ws(ws)}

    def start(self, ws: Tensor, seeds: Sequence[int], detail: DetailInit = "ws") -> Variables:
        if detail == "random" or (detail == "ws" and not self.detail.starts_from_ws):
            return {"f": self._feature(ws), **self.detail.from_random(seeds)}
        return {"f": self._feature(ws), **self.detail.from_ws(ws if detail == "ws" else self._mean(len(ws)))}

    def add(self, told: SynthesisInput, variables: Mapping[str, Tensor]) -> SynthesisInput:
        return dataclasses.replace(told, features={self.point.name: variables["f"]})

    def _mean(self, n: int) -> Tensor:
        return self.generator.w_avg.expand(n, self.generator.num_ws, -1)

    @torch.no_grad()
    def _feature(self, ws: Tensor) -> Tensor:
        return self.generator.features(SynthesisInput(ws=ws), [self.point.name])[self.point.name].clone()
