"""The metric contract: an entry of the registry, and a metric under its full name, ready to measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import ShapeError
from ganvert.images import area_resize

__all__ = ["Measure", "Metric", "NamedMetric", "without_weights"]

#: (images, targets), both [N, 3, h, w] in [-1, 1], to one value per pair [N].
Measure = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Metric:
    """A registry entry.

    Attributes:
        load: returns the measure, given the asset folder.
        higher_is_better: whether a larger value means that the pictures are closer.
        resized: whether the full name ends in a resolution, to which both pictures are resized.
        missing: status of a pair whose value is nan.
        load_moved: as `load`, of the measure for pictures whose subject may have moved (edits); None where that is
            the same one.
        least: the smallest resolution that it can compare at.
        optional: the asset without which a run leaves the metric out, because not every machine can fetch it.
    """

    load: Callable[[Path], Measure]
    higher_is_better: bool
    resized: bool = True
    missing: str = "failed"
    load_moved: Callable[[Path], Measure] | None = None
    least: int = 1
    optional: str | None = None


def without_weights(measure: Measure) -> Callable[[Path], Measure]:
    """Return what loads a measure that needs no file of the asset folder."""
    return lambda folder: measure


@dataclass(frozen=True)
class NamedMetric:
    """A metric under its full name, ready to measure.

    Attributes:
        name: such as ``mse_256``.
        resolution: pictures are resized to it; None where the metric takes them as they are.
        higher_is_better: see :class:`Metric`.
        missing: see :class:`Metric`.
        measure: the function behind it.
    """

    name: str
    resolution: int | None
    higher_is_better: bool
    missing: str
    measure: Measure

    @torch.no_grad()
    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Measure pairs of pictures.

        Args:
            images: [N, 3, h, w], RGB about [-1, 1]; clamped first, because that is what a viewer sees.
            targets: likewise.

        Returns:
            float64 CPU [N]; nan where there is no value (see `missing`). A pair's value does not depend on the batch.

        Raises:
            ShapeError: the two differ in shape, or are smaller than the resolution in the name.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape != targets.shape:
            raise ShapeError(
                f"{self.name}: wanted images and targets of one shape [N, 3, h, w], "
                f"got {list(images.shape)} and {list(targets.shape)}"
            )
        pair = [pictures.clamp(-1, 1) for pictures in (images, targets)]
        if self.resolution is not None:
            if min(images.shape[2:]) < self.resolution:
                raise ShapeError(f"{self.name}: the pictures are smaller than that, {list(images.shape)}")
            # LPIPS and SSIM at 256 px depend on the filter that led there: area means are part of the convention.
            pair = [area_resize(pictures, self.resolution) for pictures in pair]
        return self.measure(*pair).double().cpu()

    def rows(self, keys: Sequence[dict[str, Any]], values: Tensor) -> list[dict[str, Any]]:
        """Return rows of `scores`: each key's columns with metric, value (None where nan) and status."""
        return [
            {
                **key,
                "metric": self.name,
                "value": None if math.isnan(value) else value,
                "status": self.missing if math.isnan(value) else "ok",
            }
            for key, value in zip(keys, values.tolist(), strict=True)
        ]
