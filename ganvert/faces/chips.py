"""Upright chips of a face, as descriptor networks take them: a similarity to a template, and sampling through it.

Sampling is differentiable in the picture. Where the face is comes from landmarks, which are found once and have no
gradient.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ARCFACE", "DLIB", "DLIB_POINTS_FFHQ", "Template", "cut_chips", "place_chip", "place_points"]

_SAMPLED = 256  # px; a chip of an aligned picture of this side is about as large as the network's input


@dataclasses.dataclass(frozen=True)
class Template:
    """Where a network wants the points of a face.

    Attributes:
        size: side of the chip [px].
        groups: landmarks (iBUG numbering) whose mean is a point.
        points: where each point lies in the chip [px].
        stretch: dlib's quirk; see :func:`place_points`.
    """

    size: int
    groups: tuple[tuple[int, ...], ...]
    points: tuple[tuple[float, float], ...]
    stretch: bool = False


_PADDING = 0.25
#: Mean positions of dlib's five points in a face's square (dlib, image_transforms/interpolation.h): outer and inner
#: corner of the eye on the image's right, the same on its left, base of the nose.
_DLIB_POINTS = (
    (0.8595674595992, 0.2134981538014),
    (0.6460604764104, 0.2289674387677),
    (0.1205750620789, 0.2137274526848),
    (0.3340850613712, 0.2290642403242),
    (0.4901123135679, 0.6277975316475),
)
#: `get_face_chip(size=150, padding=.25)` of dlib: the face's square with a quarter of its side on every side.
DLIB = Template(
    150,
    ((45,), (42,), (36,), (39,), (33,)),
    tuple(
        (150 * (x + _PADDING) / (1 + 2 * _PADDING), 150 * (y + _PADDING) / (1 + 2 * _PADDING)) for x, y in _DLIB_POINTS
    ),
    stretch=True,
)
#: Where the five points of :data:`DLIB` lie in a picture that is aligned as FFHQ is, as fractions of its side from its
#: left and upper edge: the means over 200 portraits; the eyes' vary by half a per cent of the side, the nose by 1.5.
DLIB_POINTS_FFHQ = ((0.6712, 0.4769), (0.5760, 0.4813), (0.3284, 0.4762), (0.4240, 0.4810), (0.5018, 0.6624))
#: The template of ArcFace (Deng et al. 2019) at 112 px: eyes, tip of the nose, corners of the mouth, left to right.
ARCFACE = Template(
    112,
    (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),
    ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)),
)


def place_chip(landmarks: np.ndarray, template: Template) -> np.ndarray:
    """Return :func:`place_points` of the template's points among 68 landmarks, [68, 2] (x, y)."""
    points = np.stack([landmarks[list(group)].mean(0) for group in template.groups])
    return place_points(points, template)


def place_points(points: np.ndarray, template: Template) -> np.ndarray:
    """Return the similarity from pixels of the chip to those of the picture that fits the template best.

    The least-squares similarity of two sets of points (Umeyama 1991), as a complex factor and offset: with points
    x + iy it is z -> a z + b. dlib then lays its square around the image of (size / 2, size / 2), with a side of
    size |a| - 1, and stretches the chip's pixel centres, size - 1 apart, over it.

    Args:
        points: [5, 2] (x, y), in the template's order; integers are pixel centres.
        template: see there.

    Returns:
        float64 [2, 3]: (x, y, 1) of the chip to (x, y) of the picture, integers are pixel centres in both.
    """
    wanted, given = np.array(template.points) @ (1, 1j), np.asarray(points) @ (1, 1j)
    centred = wanted - wanted.mean()
    # |a| stays above 0: degenerate landmarks would otherwise give a chip of one point.
    factor = (np.conj(centred) @ (given - given.mean())) / (np.abs(centred) ** 2).sum() or 1e-6
    offset = given.mean() - factor * wanted.mean()
    if template.stretch:
        size = template.size
        middle = factor * (size / 2) * (1 + 1j) + offset
        factor *= max(size * abs(factor) - 1, 1e-6) / (size - 1) / abs(factor)
        offset = middle - factor * (size - 1) / 2 * (1 + 1j)
    return np.array([[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag]])


def cut_chips(images: Tensor, places: Tensor, size: int) -> Tensor:
    """Sample chips out of pictures, bilinearly; black outside of a picture.

    Pictures above 256 px are sampled several times for each pixel of the chip, and averaged: bilinear sampling alone
    would skip pixels. How often depends on the picture's size alone, so that pictures stay independent.

    Args:
        images: [N, 3, h, w] in [-1, 1].
        places: float [N, 2, 3], see :func:`place_points`.
        size: side of the chips.

    Returns:
        [N, 3, size, size] in [-1, 1].
    """
    height, width = images.shape[2:]
    times = max(math.ceil(min(height, width) / _SAMPLED), 1)
    places = places.to(images.device, torch.float64)
    # A chip's pixel i covers i - 1/2 to i + 1/2.
    line = (torch.arange(size * times, dtype=torch.float64, device=images.device) + 0.5) / times - 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ places.mT.unsqueeze(1)
    # grid_sample calls the first pixel's centre -1 and the last one's 1.
    grid = 2 * points / torch.tensor([width - 1, height - 1], dtype=torch.float64, device=images.device) - 1
    # What lies outside counts 0, and 0 is to be black.
    chips = F.grid_sample(images + 1, grid.to(images.dtype), mode="bilinear", padding_mode="zeros", align_corners=True)
    return F.avg_pool2d(chips, times) - 1
