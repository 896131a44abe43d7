"""Identity as a metric: how far the descriptors of two faces are from each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ganvert.faces.chips import ARCFACE
from ganvert.faces.identity import FaceDescriber, load_dlib, mtcnn_points
from ganvert.faces.mobilefacenet import MobileFaceNet
from ganvert.scoring.metrics.base import Measure

__all__ = ["dlib_measure", "mobilefacenet_measure", "mtcnn_measure"]


def dlib_measure(folder: Path, moved: bool = False) -> Measure:
    """Return the Euclidean distance of dlib's 128-d face descriptors: same person below 0.6, nan without a face.

    A distance and not a cosine: dlib's descriptors are not centred, so their cosines crowd between 0.8 and 1.

    Args:
        folder: of the assets.
        moved: see :func:`_measure`.

    Raises:
        AssetError: an asset is missing or damaged.
    """
    return _measure(
        load_dlib(folder, torch.device("cpu")), lambda a, b: (a - b).square().sum(dim=1).sqrt(), moved=moved
    )


def mobilefacenet_measure(folder: Path, moved: bool = False) -> Measure:
    """Return the cosine of MobileFaceNet's face descriptors: 1 for equal faces, about 0 for strangers, nan without one.

    The held-out judge: a method could minimise dlib's distance, but nothing that optimises or trains knows this one.

    Args:
        folder: of the assets.
        moved: see :func:`_measure`.

    Raises:
        AssetError: an asset is missing or damaged.
    """
    return _measure(FaceDescriber(MobileFaceNet(folder), ARCFACE, folder), _cosine, moved=moved)


def mtcnn_measure(folder: Path, moved: bool = False) -> Measure:
    """Return the same cosine of faces that MTCNN finds and places, as the F/Z+ paper's protocol has it (section 4).

    Its network of identity is another one: InceptionResnetV1 on MTCNN's box.

    Args:
        folder: of the assets.
        moved: see :func:`_measure`.

    Raises:
        AssetError: an asset is missing or damaged.
    """
    describer = FaceDescriber(MobileFaceNet(folder), ARCFACE, folder, mtcnn_points(folder))
    return _measure(describer, _cosine, moved=moved)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=1)


def _measure(
    describer: FaceDescriber, compare: Callable[[Tensor, Tensor], Tensor], *, moved: bool
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the measure of a describer.

    Args:
        describer: of faces.
        compare: two batches of descriptors [N, d] to values [N].
        moved: look for the face in the picture as well. Otherwise the picture is cut where the target has its face:
            a reconstruction has it there, and a second detection would add its own noise, or fail.
    """

    def measure(images: Tensor, targets: Tensor) -> Tensor:
        images, targets = images.float().cpu(), targets.float().cpu()
        there = describer.places(targets)
        here = describer.places(images) if moved else there
        # No face is no number, rather than the worst one: means are over pairs of two faces.
        values = images.new_full((len(images),), torch.nan, dtype=torch.float64)
        for i in (there.isfinite() & here.isfinite()).all(dim=(1, 2)).nonzero().flatten().tolist():
            # One at a time: a batch then scores exactly as its pictures do alone.
            row = slice(i, i + 1)
            pair = describer(images[row], here[row]), describer(targets[row], there[row])
            values[i] = compare(*(descriptor.double() for descriptor in pair)).item()
        return values

    return measure
