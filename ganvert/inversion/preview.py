"""A cheap stand-in for the generator's picture, fitted to each image in closed form.

Four fifths of a synthesis step at 1024 px are spent in the last layers, which barely move the 256 px picture that
losses look at. Near a given code that picture is close to linear in an earlier activation: a linear map from the
channels of that activation to the picture's pixels (2 x 2 of them per position) is fitted by ridge regression to the
full picture, and what the fit misses is added back as a constant. At the code where it was fitted the stand-in equals
the picture; it is fitted anew every few steps, is used for early optimisation steps only, and never for a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.images import area_resize

__all__ = ["Fitted", "Preview", "Runs"]

_RIDGE = 1e-4  # of the mean squared channel


class Runs(Protocol):
    """What draws: a generator, or :class:`ganvert.compute.precision.Engine`."""

    def run(
        self, told: SynthesisInput, *, read: Sequence[str] = (), stop: bool = False, px: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]: ...


@dataclass(frozen=True)
class Fitted:
    """The maps of N images.

    Attributes:
        map: [N, channels + 1, 12], from an activation and a constant to 2 x 2 pixels of RGB.
        missed: [N, 3, resolution, resolution], what the maps did not explain where they were fitted.
    """

    map: Tensor
    missed: Tensor

    @staticmethod
    def join(parts: Sequence[Fitted]) -> Fitted:
        """Those of several images together."""
        if len(parts) == 1:
            return parts[0]
        return Fitted(torch.cat([part.map for part in parts]), torch.cat([part.missed for part in parts]))


class Preview:
    """Pictures of twice the resolution of the generator's last feature of `size` pixels or less."""

    def __init__(self, generator: Generator, size: int, runs: Runs | None = None) -> None:
        """Choose the feature.

        Args:
            generator: whose pictures they stand for.
            size: of the feature at most [px].
            runs: what draws; the generator itself without.

        Raises:
            UnsupportedError: the generator has no such feature.
        """
        # A feature as large as the picture would spare nothing.
        limit = min(size, generator.resolution // 2)
        sizes = [point.shape[1] for point in generator.feature_points]
        points = [
            point
            for point, px in zip(generator.feature_points, sizes, strict=True)
            if px <= limit and generator.resolution % px == 0
        ]
        if not points:
            raise UnsupportedError(
                f"preview: {generator.architecture} has no feature of at most {limit} px that lies on its picture's "
                f"grid (it has {sorted(set(sizes))}); set preview_steps: 0"
            )
        self._runs: Runs = runs or generator
        self.point = points[-1].name
        self.resolution = 2 * points[-1].shape[1]
        self._factor = 2

    @torch.no_grad()
    def fit(self, told: SynthesisInput) -> list[Fitted]:
        """Draw the full pictures once and fit every image's own map to them."""
        images, seen = self._runs.run(told, read=[self.point], px=self.resolution)
        targets = area_resize(images, self.resolution)
        features = self._columns(seen[self.point])  # [N, pixels, channels + 1]
        wanted = F.pixel_unshuffle(targets, self._factor).flatten(2).transpose(1, 2)
        square = (features.transpose(1, 2) @ features).double()
        ridge = _RIDGE * square.diagonal(dim1=1, dim2=2).mean(dim=1)
        square = square + ridge[:, None, None] * torch.eye(square.shape[1], dtype=square.dtype, device=square.device)
        right = (features.transpose(1, 2) @ wanted).double()
        # One system after the other: in torch 2.13 batched ones fail, or are wrong, on a CPU with several threads.
        each = zip(square.split(1), right.split(1), seen[self.point].split(1), targets.split(1), strict=True)
        fitted = []
        for one, wish, feature, target in each:
            found = torch.linalg.solve(one, wish).to(features)
            fitted.append(Fitted(found, target - self._linear(feature, found)))
        return fitted

    def draw(self, told: SynthesisInput, fitted: Fitted) -> Tensor:
        """Pictures [N, 3, resolution, resolution] near the codes where the maps were fitted."""
        seen = self._runs.run(told, read=[self.point], stop=True)[1]
        return self._linear(seen[self.point], fitted.map) + fitted.missed

    def _linear(self, feature: Tensor, maps: Tensor) -> Tensor:
        columns = self._columns(feature) @ maps
        return F.pixel_shuffle(columns.transpose(1, 2).unflatten(2, feature.shape[2:]), self._factor)

    @staticmethod
    def _columns(feature: Tensor) -> Tensor:
        columns = feature.flatten(2).transpose(1, 2)
        return torch.cat([columns, torch.ones_like(columns[:, :, :1])], dim=2)
