"""Metrics: how far a picture is from its target, one number a pair.

A metric's full name carries its convention: ``mse_256`` is the entry ``mse`` after an area resize to 256 px,
``lpips_vgg_1024`` is LPIPS on the VGG16 trunk at 1024 px, ``identity_dlib`` finds and resizes the face itself and so
has no resolution. A new metric is one file and one line here. The package may import `losses`, `faces` and what lies
below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import ParamsError, ShapeError, UnknownNameError
from ganvert.base.registry import lookup
from ganvert.images import area_resize
from ganvert.scoring.metrics.identity import identity_measure
from ganvert.scoring.metrics.lpips import lpips_measure
from ganvert.scoring.metrics.pixel import mse, psnr
from ganvert.scoring.metrics.ssim import ssim

__all__ = ["METRICS", "Measure", "Metric", "NamedMetric", "check_name", "check_sizes", "metric"]

#: (images, targets), both [N, 3, h, w] in [-1, 1], to one value per pair [N].
Measure = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Metric:
    """A registry entry.

    Attributes:
        load: makes the measure, given the asset folder.
        higher_is_better: whether more is closer.
        unit: of the value, for tables and axes; empty for none.
        resized: whether the name ends in a resolution.
        missing: status of a pair whose value is nan.
    """

    load: Callable[[Path], Measure]
    higher_is_better: bool
    unit: str
    resized: bool = True
    missing: str = "failed"


def _plain(measure: Measure) -> Callable[[Path], Measure]:
    return lambda folder: measure


METRICS: dict[str, Metric] = {
    "identity_dlib": Metric(identity_measure, False, "distance", resized=False, missing="not_detected"),
    "lpips_alex": Metric(partial(lpips_measure, "alex"), False, "distance"),
    "lpips_vgg": Metric(partial(lpips_measure, "vgg"), False, "distance"),
    "mse": Metric(_plain(mse), False, "on [-1, 1]"),
    "psnr": Metric(_plain(psnr), True, "dB"),
    "ssim": Metric(_plain(ssim), True, ""),
}


@dataclass(frozen=True)
class NamedMetric:
    """A metric under its full name, ready to measure.

    Attributes:
        name: such as ``mse_256``.
        resolution: pictures are resized to it; None where the metric takes them as they are.
        measure: the function behind it.
    """

    name: str
    resolution: int | None
    higher_is_better: bool
    unit: str
    missing: str
    measure: Measure

    @torch.no_grad()
    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Measure pairs.

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
            pair = [area_resize(pictures, self.resolution) for pictures in pair]
        return self.measure(*pair).double().cpu()

    def rows(self, keys: Sequence[dict[str, Any]], values: Tensor) -> list[dict[str, Any]]:
        """Long-form table rows: each key's columns with metric, value (None where nan) and status."""
        return [
            {
                **key,
                "metric": self.name,
                "value": None if value != value else value,
                "status": self.missing if value != value else "ok",
            }
            for key, value in zip(keys, values.tolist(), strict=True)
        ]


def check_name(name: str) -> tuple[Metric, int | None]:
    """The entry and the resolution of a metric's full name, without loading anything.

    Args:
        name: ``<entry of METRICS>_<resolution>``, or the entry alone where it has no resolution.

    Raises:
        UnknownNameError: no such entry, a resolution where none belongs, or none where one does.

    >>> check_name("mse_1024")[1]
    1024
    """
    base, _, tail = name.rpartition("_")
    base, resolution = (base, int(tail)) if base and tail.isdecimal() else (name, None)
    entry = lookup(METRICS, base, "metric")
    if entry.resized != (resolution is not None) or resolution == 0:
        wanted = f"{base}_256 (or another resolution)" if entry.resized else base
        raise UnknownNameError(f"unknown metric {name!r}; write {wanted}")
    return entry, resolution


def check_sizes(names: Sequence[str], resolution: int) -> None:
    """ParamsError when a metric compares at more pixels than the generator draws."""
    for name in names:
        _, wanted = check_name(name)
        if wanted is not None and wanted > resolution:
            base = name.rpartition("_")[0]
            raise ParamsError(f"metric {name!r}: the generator draws {resolution} px; at most {base}_{resolution}")


def metric(name: str, folder: Path) -> NamedMetric:
    """The metric of a full name (see :func:`check_name`), with its weights loaded from the asset folder.

    Raises:
        UnknownNameError: no such metric.
        AssetError: its weights are missing.
    """
    entry, resolution = check_name(name)
    return NamedMetric(name, resolution, entry.higher_is_better, entry.unit, entry.missing, entry.load(folder))
