"""A cheap stand-in for the generator's picture, fitted to each image in closed form.

Four fifths of a synthesis step at 1024 px are spent in the last layers, which barely move the 256 px picture that
losses look at. Near a given code that picture is close to linear in an earlier activation: a linear map from the
channels of that activation to the picture's pixels (2 x 2 of them per position) is fitted by ridge regression to the
full picture, and what the fit misses is added back as a constant. At the code where it was fitted the stand-in equals
the picture; it is fitted anew every few steps, is used for early optimisation steps only, and never for a result.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.errors import UnsupportedError
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.images import area_resize

__all__ = ["Preview"]

_RIDGE = 1e-4  # of the mean squared channel


class Preview:
    """Pictures of twice the resolution of the generator's last feature of `size` pixels or less."""

    def __init__(self, generator: Generator, size: int) -> None:
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
        self.generator, self.point = generator, points[-1].name
        self.resolution = 2 * points[-1].shape[1]
        self._factor = 2

    @torch.no_grad()
    def fit(self, told: SynthesisInput) -> None:
        """Draw the full pictures once and fit every image's own map to them."""
        images, seen = self.generator.run(told, read=[self.point])
        targets = area_resize(images, self.resolution)
        features = self._columns(seen[self.point])  # [N, pixels, channels + 1]
        wanted = F.pixel_unshuffle(targets, self._factor).flatten(2).transpose(1, 2)
        square = (features.transpose(1, 2) @ features).double()
        ridge = _RIDGE * square.diagonal(dim1=1, dim2=2).mean(dim=1)
        square = square + ridge[:, None, None] * torch.eye(square.shape[1], dtype=square.dtype, device=square.device)
        self._map = torch.linalg.solve(square, (features.transpose(1, 2) @ wanted).double()).to(features)
        self._missed = targets - self._linear(seen[self.point])

    def draw(self, told: SynthesisInput) -> Tensor:
        """Pictures [N, 3, resolution, resolution] near the codes of the last fit."""
        return self._linear(self.generator.features(told, [self.point])[self.point]) + self._missed

    def _linear(self, feature: Tensor) -> Tensor:
        columns = self._columns(feature) @ self._map
        return F.pixel_shuffle(columns.transpose(1, 2).unflatten(2, feature.shape[2:]), self._factor)

    @staticmethod
    def _columns(feature: Tensor) -> Tensor:
        columns = feature.flatten(2).transpose(1, 2)
        return torch.cat([columns, torch.ones_like(columns[:, :, :1])], dim=2)
