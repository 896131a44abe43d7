"""Masked feature differences over a space of rows, as SAM inverts (Parmar et al. 2022, arXiv 2206.08357).

Parts of a picture that the rows draw well are left to them; every other part has a difference of one feature map, which
acts under a mask. Coarse maps stay easier to edit, fine ones reconstruct more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.generators.base import FeaturePoint, Generator, SynthesisInput
from ganvert.spaces.base import Motion, Move, Space
from ganvert.spaces.composed import Composed
from ganvert.spaces.feature import point_of_size

__all__ = ["Masked"]


class Masked(Composed):
    """For every feature map of some sizes a difference ``dSIZE`` and a mask ``mSIZE``, and a detail space for all rows.

    What is drawn has ``x + m d`` in the place of the map x. Codes that are made of ws, and random ones, have zeros in
    both, which is the detail space unchanged. Optimisation moves differences and rows; masks are chosen before it
    (:mod:`ganvert.inversion.methods.assign`).
    """

    def __init__(self, generator: Generator, smallest: int, largest: int, detail: type[Space]) -> None:
        # Maps with margins (StyleGAN3) lie on no grid that a mask of the picture has.
        sizes = {point.shape[1] for point in generator.feature_points if point.first_row}
        self.sizes = sorted(size for size in sizes if smallest <= size <= largest and not generator.resolution % size)
        if not self.sizes:
            raise UnsupportedError(
                f"m{smallest}-{largest}/{detail.name}: {generator.architecture} has no feature maps of {smallest} to "
                f"{largest} px that lie on its picture's grid; it has them of {sorted(sizes)} px"
            )
        #: Side of a map to its place in the network, coarse to fine.
        self.points: dict[int, FeaturePoint] = {size: point_of_size(generator, size) for size in self.sizes}
        super().__init__(generator, f"m{smallest}-{largest}", detail(generator))

    @property
    def own_shapes(self) -> dict[str, tuple[int, ...]]:
        differences = {f"d{size}": point.shape for size, point in self.points.items()}
        return {**differences, **{name: (1, *self.points[int(name[1:])].shape[1:]) for name in self.constants}}

    @property
    def constants(self) -> tuple[str, ...]:
        return tuple(f"m{size}" for size in self.sizes)

    @property
    def differences(self) -> tuple[str, ...]:
        """Names of the variables that are differences of feature maps."""
        return tuple(f"d{size}" for size in self.sizes)

    @property
    def takes(self) -> tuple[str, ...]:
        return self.detail.takes

    def add(self, synthesis_input: SynthesisInput, variables: Mapping[str, Tensor]) -> SynthesisInput:
        deltas = {point.name: variables[f"d{size}"] for size, point in self.points.items()}
        masks = {point.name: variables[f"m{size}"] for size, point in self.points.items()}
        return dataclasses.replace(synthesis_input, deltas=deltas, masks=masks)

    def move(
        self, variables: Mapping[str, Tensor], moves: Sequence[Move], how: Motion = "retract_once"
    ) -> SynthesisInput:
        return self._blended(self.decode(variables), super().move(variables, moves, how))

    def move_styles(self, drawn: SynthesisInput, moves: Sequence[Move]) -> SynthesisInput:
        return self._blended(drawn, super().move_styles(drawn, moves))

    def _blended(self, still: SynthesisInput, moved: SynthesisInput) -> SynthesisInput:
        """Keep the maps of `still` under their masks, and those of `moved` elsewhere.

        SAM blends ``x' (1 - m) + F m``, F the map of the code as it was. Written as the difference
        ``d + m (x - x')``, it is the same where a mask is 0 or 1, and at soft borders too the code itself where nothing
        moves.
        """
        deltas, masks = dict(still.deltas or {}), still.masks or {}
        for point in self.points.values():
            if not masks[point.name].any():
                continue
            drawn = dataclasses.replace(moved, deltas=deltas)
            before, after = (self.generator.features(part, [point.name])[point.name] for part in (still, drawn))
            # Both have the same difference at this point, so that it cancels: x - x' remains.
            deltas[point.name] = deltas[point.name] + (before - after)
        return dataclasses.replace(moved, deltas=deltas)
