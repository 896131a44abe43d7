"""Metrics: how far a picture is from its target, one number a pair.

A metric's full name carries its convention: ``mse_256`` is the entry ``mse`` after an area resize to 256 px,
``lpips_vgg_1024`` is LPIPS on the VGG16 trunk at 1024 px; those of identity cut out the face themselves and so have no
resolution. A new metric is one file and one line here. The package may import `losses`, `faces` and what lies below.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ganvert.base.errors import ParamsError, UnknownNameError
from ganvert.base.registry import lookup
from ganvert.faces.mobilefacenet import MOBILEFACENET_FILE
from ganvert.scoring.metrics.base import Metric, NamedMetric, without_weights
from ganvert.scoring.metrics.identity import dlib_measure, mobilefacenet_measure, mtcnn_measure
from ganvert.scoring.metrics.lpips import lpips_measure
from ganvert.scoring.metrics.pixel import mse, psnr
from ganvert.scoring.metrics.ssim import ssim

__all__ = ["METRICS", "Metric", "NamedMetric", "available", "check_metric_name", "check_sizes", "metric"]

log = logging.getLogger(__name__)

METRICS: dict[str, Metric] = {
    "identity_dlib": Metric(
        dlib_measure,
        higher_is_better=False,
        resized=False,
        missing="not_detected",
        load_moved=partial(dlib_measure, moved=True),
    ),
    "identity_mobilefacenet": Metric(
        mobilefacenet_measure,
        higher_is_better=True,
        resized=False,
        missing="not_detected",
        load_moved=partial(mobilefacenet_measure, moved=True),
        optional=MOBILEFACENET_FILE,
    ),
    "identity_mobilefacenet_mtcnn": Metric(
        mtcnn_measure,
        higher_is_better=True,
        resized=False,
        missing="not_detected",
        load_moved=partial(mtcnn_measure, moved=True),
        optional=MOBILEFACENET_FILE,
    ),
    "lpips_alex": Metric(partial(lpips_measure, "alex"), higher_is_better=False, least=31),
    "lpips_vgg": Metric(partial(lpips_measure, "vgg"), higher_is_better=False, least=16),
    "mse": Metric(without_weights(mse), higher_is_better=False),
    "psnr": Metric(without_weights(psnr), higher_is_better=True),
    "ssim": Metric(without_weights(ssim), higher_is_better=True, least=6),
}


def check_metric_name(name: str) -> tuple[Metric, int | None]:
    """Return the entry and the resolution of a metric's full name, without loading anything.

    Args:
        name: ``<entry of METRICS>_<resolution>``, or the entry's name alone where it has no resolution.

    Raises:
        UnknownNameError: no such entry, a resolution where none belongs, none where one does, or one that is too small.

    >>> check_metric_name("mse_1024")[1]
    1024
    """
    base, _, tail = name.rpartition("_")
    base, resolution = (base, int(tail)) if base and tail.isdecimal() else (name, None)
    entry = lookup(METRICS, base, "metric")
    # A table of `lpips` without net and size could not be compared with anything: both belong to the name.
    if entry.resized != (resolution is not None) or (resolution is not None and resolution < entry.least):
        wanted = f"{base}_256 (or another resolution of at least {entry.least} px)" if entry.resized else base
        raise UnknownNameError(f"unknown metric {name!r}; write {wanted}")
    return entry, resolution


def check_sizes(names: Sequence[str], resolution: int) -> None:
    """Raise ParamsError when a metric is named twice, or compares at more pixels than the generator draws."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ParamsError(f"metric {twice[0]!r}: named twice; wanted every metric once")
    for name in names:
        _, wanted = check_metric_name(name)
        if wanted is not None and wanted > resolution:
            base = name.rpartition("_")[0]
            raise ParamsError(f"metric {name!r}: the generator draws {resolution} px; at most {base}_{resolution}")


def available(names: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Return the names without the optional metrics whose asset is missing; a warning names each of those.

    Raises:
        UnknownNameError: no such metric.
    """
    kept = []
    for name in names:
        asset = check_metric_name(name)[0].optional
        if asset is None or (folder / asset).is_file():
            kept.append(name)
        else:
            log.warning(
                "metric %s is left out: %s is missing, which the npm client fetches; install Node.js with npm and run "
                "`ganvert fetch` to have it",
                *(name, folder / asset),
            )
    return tuple(kept)


def metric(name: str, folder: Path, *, moved: bool = False) -> NamedMetric:
    """Return the metric of a full name (see :func:`check_metric_name`), its weights loaded from the asset folder.

    Args:
        name: see there.
        folder: of the assets.
        moved: whether the subject may lie elsewhere in the pictures than in the targets, as after an edit.

    Raises:
        UnknownNameError: no such metric.
        AssetError: its weights are missing.
    """
    entry, resolution = check_metric_name(name)
    load = entry.load_moved if moved and entry.load_moved else entry.load
    return NamedMetric(name, resolution, entry.higher_is_better, entry.missing, load(folder))
