"""Metrics: how far a picture is from its target, one number a pair.

A metric's full name carries its convention: ``mse_256`` is the entry ``mse`` after an area resize to 256 px,
``lpips_vgg_1024`` is LPIPS on the VGG16 trunk at 1024 px, ``identity_dlib`` finds and resizes the face itself and so
has no resolution. A new metric is one file and one line here. The package may import `losses`, `faces` and what lies
below.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ganvert.base.errors import ParamsError, UnknownNameError
from ganvert.base.registry import lookup
from ganvert.scoring.metrics.base import Metric, NamedMetric, without_weights
from ganvert.scoring.metrics.identity import identity_measure
from ganvert.scoring.metrics.lpips import lpips_measure
from ganvert.scoring.metrics.pixel import mse, psnr
from ganvert.scoring.metrics.ssim import ssim

__all__ = ["METRICS", "Metric", "NamedMetric", "check_metric_name", "check_sizes", "metric"]

METRICS: dict[str, Metric] = {
    "identity_dlib": Metric(identity_measure, higher_is_better=False, resized=False, missing="not_detected"),
    "lpips_alex": Metric(partial(lpips_measure, "alex"), higher_is_better=False),
    "lpips_vgg": Metric(partial(lpips_measure, "vgg"), higher_is_better=False),
    "mse": Metric(without_weights(mse), higher_is_better=False),
    "psnr": Metric(without_weights(psnr), higher_is_better=True),
    "ssim": Metric(without_weights(ssim), higher_is_better=True),
}


def check_metric_name(name: str) -> tuple[Metric, int | None]:
    """Return the entry and the resolution of a metric's full name, without loading anything.

    Args:
        name: ``<entry of METRICS>_<resolution>``, or the entry's name alone where it has no resolution.

    Raises:
        UnknownNameError: no such entry, a resolution where none belongs, or none where one does.

    >>> check_metric_name("mse_1024")[1]
    1024
    """
    base, _, tail = name.rpartition("_")
    base, resolution = (base, int(tail)) if base and tail.isdecimal() else (name, None)
    entry = lookup(METRICS, base, "metric")
    # A table of `lpips` without net and size could not be compared with anything: both belong to the name.
    if entry.resized != (resolution is not None) or resolution == 0:
        wanted = f"{base}_256 (or another resolution)" if entry.resized else base
        raise UnknownNameError(f"unknown metric {name!r}; write {wanted}")
    return entry, resolution


def check_sizes(names: Sequence[str], resolution: int) -> None:
    """Raise ParamsError when a metric compares at more pixels than the generator draws."""
    for name in names:
        _, wanted = check_metric_name(name)
        if wanted is not None and wanted > resolution:
            base = name.rpartition("_")[0]
            raise ParamsError(f"metric {name!r}: the generator draws {resolution} px; at most {base}_{resolution}")


def metric(name: str, folder: Path) -> NamedMetric:
    """Return the metric of a full name (see :func:`check_metric_name`), its weights loaded from the asset folder.

    Raises:
        UnknownNameError: no such metric.
        AssetError: its weights are missing.
    """
    entry, resolution = check_metric_name(name)
    return NamedMetric(name, resolution, entry.higher_is_better, entry.missing, entry.load(folder))
