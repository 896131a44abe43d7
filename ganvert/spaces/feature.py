"""F and the spaces composed with it: a feature map replaces the coarse rows, a detail space codes the others.

F/W+ is BDInvert's space (Kang et al. 2021), F/Z+ that of arXiv 2307.08995. FeatureStyleEncoder's space keeps the coarse
rows beside the feature, so that a direction can move the feature too.
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
from ganvert.spaces.carry import carry
from ganvert.spaces.composed import Composed

__all__ = ["Feature", "FeatureStyle", "point_of_size"]


def point_of_size(generator: Generator, size: int) -> FeaturePoint:
    """Return the coarsest feature point of `size` x `size` after the learned input.

    In StyleGAN2 that is the upsampling convolution of the resolution (layer x03 at 16 px, as in BDInvert).

    Raises:
        UnsupportedError: the generator has no feature of this size.
    """
    # A point with first_row 0 hides no row: it is the learned input itself.
    points = [point for point in generator.feature_points if point.first_row]
    for point in points:
        if point.shape[1] == size:
            return point
    sizes = sorted({point.shape[1] for point in points})
    raise UnsupportedError(f"{generator.architecture} has no feature of {size} px; it has them of {sizes} px")


class Feature(Composed):
    """The feature ``f`` at one point, and a detail space for the rows that act after it.

    A direction moves only the rows of the detail space; the feature stays.
    """

    prefix: ClassVar[str] = "f"
    hides: ClassVar[bool] = True  # whether rows before the feature are left out of the code

    def __init__(self, generator: Generator, size: int, detail: type[Space]) -> None:
        self.point = point_of_size(generator, size)
        # The first coded row. The authors' code keeps all 18 rows, of which the first get no gradient from the image.
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
        parts = self.usable_parts(prediction, seeds)
        feature = parts.get(self.takes[0])
        if feature is None:
            feature = self._feature(parts["ws"])
        # A copy, so that an optimisation in place does not write into the prediction.
        return {"f": feature.clone(), **self._rows(parts["ws"], seeds, detail)}

    def add(self, synthesis_input: SynthesisInput, variables: Mapping[str, Tensor]) -> SynthesisInput:
        # Everything coarser is skipped: in StyleGAN2 also the image that coarser toRGB layers have summed up, which
        # starts anew at this resolution (BDInvert).
        return dataclasses.replace(synthesis_input, features={self.point.name: variables["f"]})

    def _rows(self, ws: Tensor, seeds: Sequence[int], detail: DetailInit) -> Variables:
        """Return the start of the detail variables."""
        if detail == "random":
            return self.detail.from_random(seeds)
        # BDInvert starts the rows at the mean code, F/Z+ at random: their encoders predict the feature alone.
        mean = self.generator.w_avg.expand(len(ws), self.generator.num_ws, -1)
        return self.detail.from_ws(ws if detail == "ws" else mean)

    def _feature(self, ws: Tensor) -> Tensor:
        return self._feature_of(SynthesisInput(ws=ws)).clone()

    def _feature_of(self, synthesis_input: SynthesisInput) -> Tensor:
        return self.generator.features(synthesis_input, [self.point.name])[self.point.name]


class FeatureStyle(Feature):
    """The feature ``f``, and a detail space for all rows: those before the feature determine how directions move it.

    When a direction takes the rows w to w', the feature f becomes ``g(w') + carry(f - g(w))``, where g is the
    generator's own feature of these rows, and what the code has beyond it goes where the face goes and fades where the
    face changes (:mod:`ganvert.spaces.carry`). FeatureStyleEncoder leaves it as it is: ``f + (g(w') - g(w))``. The
    feature of a random code is g of its rows.
    """

    prefix = "fs"
    hides = False

    def from_random(self, seeds: Sequence[int]) -> Variables:
        # Feature and rows must belong together here: a direction moves the feature by what it changes in that of the
        # rows.
        rows = self.detail.from_random(seeds)
        return {"f": self._feature_of(self.detail.decode(rows)).clone(), **rows}

    def move(
        self,
        variables: Mapping[str, Tensor],
        moves: Sequence[Move],
        how: Motion = "retract_once",
        *,
        carried: bool = True,
    ) -> SynthesisInput:
        """Move the rows, and the feature with them.

        Args:
            variables: see :meth:`Space.move`.
            moves: see there.
            how: see there.
            carried: whether what the feature has beyond that of the rows moves and fades too; False leaves it as it is,
                as FeatureStyleEncoder does.
        """
        rows = self._details(variables)
        moved = self.detail.move(rows, moves, how)
        feature = self._followed(variables["f"], self.detail.decode(rows), moved, carried)
        return self.add(moved, {**variables, "f": feature})

    def move_styles(self, drawn: SynthesisInput, moves: Sequence[Move], *, carried: bool = True) -> SynthesisInput:
        """Move the styles, and the feature with them; `carried` as in :meth:`move`."""
        bare = dataclasses.replace(drawn, features=None)
        own = (drawn.features or {})[self.point.name]
        moved = super().move_styles(bare, moves)
        return self.add(moved, {"f": self._followed(own, bare, moved, carried)})

    def _followed(self, feature: Tensor, before: SynthesisInput, after: SynthesisInput, carried: bool) -> Tensor:
        """Return a code's feature when its rows, or styles, go from those of `before` to those of `after`."""
        old, new = self._feature_of(before), self._feature_of(after)
        residual = feature - old
        # Left as it is, it draws hair, ears and shoulders of the old pose over those of a head that turns.
        return new + (carry(residual, old, new) if carried else residual)
