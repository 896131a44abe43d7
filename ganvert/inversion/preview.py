"""A cheap stand-in for the generator's image, fitted to each image in closed form.

Four fifths of a synthesis step at 1024 px are spent in the last layers, which barely move the 256 px image that losses
use. Near a given code that image is close to linear in an earlier activation: a linear map from the channels of that
activation to the image's pixels (2 x 2 of them per position) is fitted by ridge regression to the full image, and the
residual of the fit is added back as a constant. At the code where it was fitted the stand-in equals the image; it is
fitted anew every few steps, is used for early optimisation steps only, and never for a result.
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

__all__ = ["Fitted", "Preview", "Synthesis"]

#: Ridge, relative to the mean squared channel: enough for channels that are nearly equal, too little to bias the fit.
_RIDGE = 1e-4
#: Pixels of the image per position of the activation, along each axis.
_FACTOR = 2


class Synthesis(Protocol):
    """A generator, or :class:`ganvert.compute.precision.Engine`."""

    def run(
        self, synthesis_input: SynthesisInput, /, *, read: Sequence[str] = (), stop: bool = False, px: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]: ...


@dataclass(frozen=True)
class Fitted:
    """The maps of N images.

    Attributes:
        map: [N, channels + 1, 12], from an activation and a constant to 2 x 2 pixels of RGB.
        residual: [N, 3, resolution, resolution], what the maps did not explain where they were fitted.
    """

    map: Tensor
    residual: Tensor

    @staticmethod
    def join(parts: Sequence[Fitted]) -> Fitted:
        """Return the maps of several images as one."""
        if len(parts) == 1:
            return parts[0]
        return Fitted(torch.cat([part.map for part in parts]), torch.cat([part.residual for part in parts]))


class Preview:
    """Images of twice the resolution of the generator's last feature of `size` pixels or less.

    Attributes:
        point: name of that feature.
        resolution: of the images [px].
    """

    def __init__(self, generator: Generator, size: int, synthesis: Synthesis | None = None) -> None:
        """Choose the feature.

        Args:
            generator: whose images are approximated.
            size: of the feature at most [px].
            synthesis: what draws; None is the generator itself.

        Raises:
            UnsupportedError: the generator has no such feature.
        """
        # A feature as large as the image would save nothing.
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
        self._synthesis: Synthesis = synthesis or generator
        self.point = points[-1].name
        self.resolution = _FACTOR * points[-1].shape[1]

    @torch.no_grad()
    def fit(self, synthesis_input: SynthesisInput) -> list[Fitted]:
        """Draw the full images of N codes once and fit every image's own map to them."""
        images, activations = self._synthesis.run(synthesis_input, read=[self.point], px=self.resolution)
        # Every image has a map of its own: the layers that it replaces are modulated by styles, which belong to the
        # code.
        targets = area_resize(images, self.resolution)
        # Ridge regression, one row for each position: columns A, pixels Y, map = (A'A + ridge I)^-1 A'Y.
        columns = _columns(activations[self.point])  # [N, positions, channels + 1]
        # The 12 colours of a 2 x 2 block, ordered as pixel_shuffle puts them back: colour first, then row, column.
        pixels = F.pixel_unshuffle(targets, _FACTOR).flatten(2).transpose(1, 2)
        square = (columns.transpose(1, 2) @ columns).double()  # float64: its condition is that of A, squared
        ridge = _RIDGE * square.diagonal(dim1=1, dim2=2).mean(dim=1)
        square = square + ridge[:, None, None] * torch.eye(square.shape[1], dtype=square.dtype, device=square.device)
        right = (columns.transpose(1, 2) @ pixels).double()
        # One system after the other: in torch 2.13 batched ones fail, or are wrong, on a CPU with several threads.
        systems = zip(square.split(1), right.split(1), activations[self.point].split(1), targets.split(1), strict=True)
        fitted = []
        for left, rhs, activation, target in systems:
            solution = torch.linalg.solve(left, rhs).to(columns)
            # The residual does not depend on the code, and so adds nothing to the gradient. It makes the image exact
            # where it was fitted: losses then start from the true differences, not from those of a blurred stand-in.
            fitted.append(Fitted(solution, target - _linear(activation, solution)))
        return fitted

    def draw(self, synthesis_input: SynthesisInput, fitted: Fitted) -> Tensor:
        """Return images [N, 3, resolution, resolution] near the codes where the maps were fitted."""
        activation = self._synthesis.run(synthesis_input, read=[self.point], stop=True)[1][self.point]
        return _linear(activation, fitted.map) + fitted.residual


def _linear(activation: Tensor, maps: Tensor) -> Tensor:
    """Map an activation [N, channels, h, h] to images [N, 3, 2 h, 2 h]."""
    pixels = _columns(activation) @ maps
    return F.pixel_shuffle(pixels.transpose(1, 2).unflatten(2, activation.shape[2:]), _FACTOR)


def _columns(activation: Tensor) -> Tensor:
    """Return the channels of every position and a constant 1, [N, h h, channels + 1]."""
    columns = activation.flatten(2).transpose(1, 2)
    return torch.cat([columns, torch.ones_like(columns[:, :, :1])], dim=2)
