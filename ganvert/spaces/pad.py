"""The padding space of PadInv (Bai et al. 2022, arXiv 2203.11105): input and borders, and a detail space for ws."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.spaces.base import Space, Variables
from ganvert.spaces.composed import Composed

__all__ = ["LARGEST", "Pad", "map_of", "ring_of"]

#: Resolution of the finest convolution whose padding is coded [px] (`pad_layer_num` 4 of the authors' code).
LARGEST = 32


def ring_of(padding: Tensor) -> Tensor:
    """Return the border of maps [..., r + 2, r + 2] as [..., 4 (r + 1)]: top and bottom row, then left and right."""
    # The rows hold the corners, so the columns are two shorter: 2 (r + 2) + 2 r = 4 (r + 1).
    return torch.cat([padding[..., 0, :], padding[..., -1, :], padding[..., 1:-1, 0], padding[..., 1:-1, -1]], dim=-1)


def map_of(ring: Tensor) -> Tensor:
    """Return maps [..., r + 2, r + 2] with a ring [..., 4 (r + 1)] as border, zeros inside; inverts :func:`ring_of`."""
    r = ring.shape[-1] // 4 - 1
    top, bottom, left, right = ring.split([r + 2, r + 2, r, r], dim=-1)
    between = torch.cat([left[..., None], ring.new_zeros(*ring.shape[:-1], r, r), right[..., None]], dim=-1)
    return torch.cat([top[..., None, :], between, bottom[..., None, :]], dim=-2)


class Pad(Composed):
    """The learned input ``const``, and a ring ``pad.CONV`` around the input of a convolution at 4, 8, 16 and 32 px.

    The convolution is the last one of its resolution that takes padding: in StyleGAN the one after the upsampling
    convolution, as in PadInv. PadInv predicts whole maps, but the network overwrites their inside with its own
    activation, so only the ring is stored. Codes from ws, and random ones, have the generator's own input and zero
    rings, which is the generator unchanged.
    """

    def __init__(self, generator: Generator, detail: type[Space]) -> None:
        # Coarse to fine, so that the last convolution of each resolution remains.
        convs = {conv.resolution: conv for conv in generator.paddable if conv.resolution <= LARGEST}
        self.point = generator.feature_points[0]
        if not convs or self.point.first_row:
            raise UnsupportedError(
                f"pad/{detail.name}: {generator.architecture} has no padding or no learned input that could be "
                f"replaced; use {detail.name}"
            )
        self.convs = list(convs.values())
        super().__init__(generator, "pad", detail(generator))

    @property
    def own_shapes(self) -> dict[str, tuple[int, ...]]:
        rings = {f"pad.{conv.name}": (conv.channels, 4 * (conv.resolution + 1)) for conv in self.convs}
        return {"const": self.point.shape, **rings}

    def add(self, synthesis_input: SynthesisInput, variables: Mapping[str, Tensor]) -> SynthesisInput:
        padding = {conv.name: map_of(variables[f"pad.{conv.name}"]) for conv in self.convs}
        return dataclasses.replace(synthesis_input, features={self.point.name: variables["const"]}, padding=padding)

    @torch.no_grad()
    def own(self, n: int) -> Variables:
        """Return the generator's own input and zero padding, n times."""
        mean = self.generator.w_avg.expand(1, self.generator.num_ws, -1)
        const = self.generator.features(SynthesisInput(ws=mean), [self.point.name])[self.point.name]
        rings = {name: const.new_zeros(n, *shape) for name, shape in self.own_shapes.items() if name != "const"}
        return {"const": const.repeat(n, 1, 1, 1), **rings}
