"""Pasting of an edited crop back into its photograph, without a seam."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from PIL import Image

from ganvert.base.errors import ParamsError, ShapeError

__all__ = ["homography", "paste", "soft_mask", "soft_region"]

CORNER = 0.15  # radius of the mask's rounded corners, as a fraction of the crop's side
FINE = 0.03  # details are what is finer than this, as a fraction of the crop's side
AROUND = 0.01  # the edit's share of a pixel's details is measured over this, as a fraction of the side
REDRAWN = (6.0, 20.0)  # change of details [grey levels] from which, and above which, an edit has drawn them anew


def paste(
    photo: Image.Image,
    crop: Image.Image,
    quad: np.ndarray,
    feather: float = 0.05,
    colour_match: bool = False,
    mode: Literal["replace", "difference"] = "replace",
    reference: Image.Image | None = None,
    region: np.ndarray | None = None,
) -> Image.Image:
    """Paste `crop` into the photograph; pixels outside the mask stay the photograph's own, bit for bit.

    ``replace``: ``mask * crop + (1 - mask) * photo``. ``difference``: ``photo + mask * (crop - reference)``, where
    `reference` is the unedited crop that `crop` was made from (its reconstruction): whatever the edit does not change
    stays the photograph, inside the mask too. It needs a reconstruction that lies exactly on the photographed face.
    Where the edit has drawn details anew, such as lips where teeth were, the photograph's own details go: they are of
    what is no longer there.

    Args:
        photo: RGB photograph, upright.
        crop: square RGB image.
        quad: [4, 2] corners TL, BL, BR, TR in photo pixels, see :class:`~ganvert.faces.align.Aligned`.
        feather: width of the soft edge as a fraction of the crop's side, 0 (hard) to 0.5.
        colour_match: give the crop the photo's mean and standard deviation, per channel, as measured in the soft edge
            (``replace`` only).
        mode: see above.
        reference: square RGB image, for ``difference``.
        region: [h, h] in [0, 1] over the crop, by which the weights of its square are multiplied; see
            :func:`soft_region`.

    Raises:
        ParamsError: feather out of range, or mode and reference do not go together.
        ShapeError: the crop is not square, or the quad is not [4, 2] or has no area.
    """
    quad = np.asarray(quad, dtype=np.float64)
    _check(crop, quad, feather, colour_match, mode, reference)
    edges = quad + 0.5  # from pixel centres to coordinates that count pixel edges
    low = np.maximum(np.floor(edges.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(edges.max(0)).astype(int), photo.size)
    pixels = np.array(photo.convert("RGB"))
    if (low >= high).any():
        return Image.fromarray(pixels)
    box = pixels[low[1] : high[1], low[0] : high[0]]  # a view: only these pixels can change
    to_unit = homography(edges - low)  # pixels of the box -> the crop as the unit square
    mask = soft_mask(to_unit, box.shape[1], box.shape[0], feather)[:, :, None]
    side = float(np.sqrt(_area(edges)))
    if region is not None:
        shape = Image.fromarray(np.rint(np.asarray(region) * 255).astype(np.uint8))
        mask = mask * (_warp(shape, to_unit, mask.shape[:2], side)[:, :, :1] / 255)
    old, new = box.astype(np.float64), _warp(crop, to_unit, mask.shape[:2], side)
    if reference is not None:
        blended = old + mask * _difference(new, _warp(reference, to_unit, mask.shape[:2], side), old, side)
    else:
        if colour_match:
            # mask (1 - mask) is largest in the middle of the soft edge, where both images are visible.
            new = _match(new, old, weights=mask * (1 - mask))
        blended = mask * new + (1 - mask) * old
    box[:] = np.clip(np.rint(blended), 0, 255)
    return Image.fromarray(pixels)


def _difference(new: np.ndarray, reference: np.ndarray, old: np.ndarray, side: float) -> np.ndarray:
    """Return what ``difference`` adds to the photograph [h, w, 3]; `side` is the crop's in its pixels."""
    change, missed = new - reference, old - reference  # by the edit; by the reconstruction
    details = np.abs(change - _blurred(change, FINE * side)).max(axis=2, keepdims=True)
    low, high = REDRAWN
    redrawn = _smoothstep((_blurred(details, AROUND * side) - low) / (high - low))
    # Colours and light that the reconstruction missed stay the photograph's everywhere.
    return change - redrawn * (missed - _blurred(missed, FINE * side))


def _blurred(values: np.ndarray, width: float) -> np.ndarray:
    """Return values [h, w, n] blurred by about a Gaussian of this standard deviation [px]."""
    from scipy.ndimage import uniform_filter

    # Two boxes, whose time does not grow with their width: the variance of one is (size^2 - 1) / 12.
    size = 1 + 2 * round((math.sqrt(1 + 6 * width**2) - 1) / 2)
    for _ in range(2):
        values = uniform_filter(values, (size, size, 1), mode="nearest")
    return values


def _check(
    crop: Image.Image,
    quad: np.ndarray,
    feather: float,
    colour_match: bool,
    mode: Literal["replace", "difference"],
    reference: Image.Image | None,
) -> None:
    """Refuse arguments of :func:`paste` that do not fit."""
    if not 0 <= feather <= 0.5:
        raise ParamsError(f"feather: wanted 0 to 0.5 of the crop's side, got {feather}")
    if (mode == "difference") != (reference is not None) or (mode == "difference" and colour_match):
        raise ParamsError("mode 'difference' needs a reference and no colour_match; mode 'replace' takes no reference")
    for image in (crop, reference):
        if image is not None and image.width != image.height:
            raise ShapeError(f"wanted a square crop, got {image.size}")
    if quad.shape != (4, 2):
        raise ShapeError(f"quad: wanted [4, 2], got {list(quad.shape)}")


def homography(corners: np.ndarray) -> np.ndarray:
    """Compute the 3 x 3 matrix that maps corners TL, BL, BR, TR [4, 2] to (0, 0), (0, 1), (1, 1), (1, 0).

    Raises:
        ShapeError: the corners span no area.
    """
    # u = (a x + b y + c) / (g x + h y + 1), multiplied out: two linear equations per corner for the eight unknowns.
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, [(0, 0), (0, 1), (1, 1), (1, 0)], strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    try:
        return np.append(np.linalg.solve(np.array(rows, dtype=np.float64), values), 1.0).reshape(3, 3)
    except np.linalg.LinAlgError as error:
        raise ShapeError(f"quad: its corners {np.round(corners, 2).tolist()} span no area") from error


def soft_mask(to_unit: np.ndarray, width: int, height: int, feather: float) -> np.ndarray:
    """Compute weights [height, width] from 0 to 1: a square with rounded corners and soft edges.

    The weights rise from 0 at the outline, inwards: nothing outside the crop changes, and the slope is 0 at both ends
    of the rise, so that no line is visible where it begins.

    Args:
        to_unit: homography from pixel edges to the unit square.
        width: of the result [px].
        height: of the result [px].
        feather: distance over which the weights rise to 1, as a fraction of the side.
    """
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    u, v, w = np.tensordot(to_unit, np.stack([x, y, np.ones_like(x)]), axes=1)
    # Signed distance to a rounded square of half side 0.5, positive inside.
    past_u, past_v = np.abs(u / w - 0.5) - (0.5 - CORNER), np.abs(v / w - 0.5) - (0.5 - CORNER)
    outside = np.hypot(np.maximum(past_u, 0), np.maximum(past_v, 0)) + np.minimum(np.maximum(past_u, past_v), 0)
    inside = CORNER - outside
    if feather == 0:
        return (inside > 0).astype(np.float64)
    return _smoothstep(inside / feather)


def soft_region(inside: np.ndarray, feather: float) -> np.ndarray:
    """Compute weights in [0, 1] for :func:`paste`: 1 inside of a region, falling to 0 around it.

    The fall lies outside, so that the whole region is replaced: what shines through is its surroundings, never an old
    contour.

    Args:
        inside: bool [h, h] over the crop.
        feather: distance over which the weights fall, as a fraction of the crop's side.
    """
    from scipy.ndimage import distance_transform_edt

    if feather == 0 or inside.all():
        return inside.astype(np.float64)
    away = distance_transform_edt(~inside) if inside.any() else np.full(inside.shape, np.inf)
    return _smoothstep(1 - away / (feather * len(inside)))


def _smoothstep(values: np.ndarray) -> np.ndarray:
    """Return a rise from 0 at 0 to 1 at 1 whose slope is 0 at both ends."""
    ramp = np.clip(values, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def _warp(crop: Image.Image, to_unit: np.ndarray, shape: tuple[int, int], side: float) -> np.ndarray:
    """Warp the crop to float64 [h, w, 3] in the box's pixels, as `side` px on average."""
    crop = crop.convert("RGB")
    # The perspective transform does not filter: a crop that shrinks has to be shrunk before.
    size = min(crop.width, max(round(side), 1))
    crop = crop.resize((size, size), Image.Resampling.LANCZOS)
    matrix = np.diag([size, size, 1.0]) @ to_unit
    # Pillow returns black for samples outside the image; a repeated edge keeps the outline clean.
    padded = np.pad(np.asarray(crop), ((1, 1), (1, 1), (0, 0)), mode="edge")
    matrix = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1.0]]) @ matrix
    matrix /= matrix[2, 2]
    return np.asarray(
        Image.fromarray(padded).transform(
            (shape[1], shape[0]), Image.Transform.PERSPECTIVE, matrix.flatten()[:8].tolist(), Image.Resampling.BICUBIC
        ),
        dtype=np.float64,
    )


def _match(new: np.ndarray, old: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Shift and scale each channel of `new` to the weighted mean and standard deviation of `old`."""
    total = weights.sum()
    if total == 0:
        return new
    mean_new, mean_old = ((weights * values).sum((0, 1)) / total for values in (new, old))
    deviations = [
        np.sqrt((weights * (values - mean) ** 2).sum((0, 1)) / total)
        for values, mean in ((new, mean_new), (old, mean_old))
    ]
    # A nearly flat edge has no deviation to match, and a large factor would act on the whole face.
    factor = np.clip(deviations[1] / np.maximum(deviations[0], 1), 0.8, 1.25)
    return (new - mean_new) * factor + mean_old


def _area(corners: np.ndarray) -> float:
    """Return the area of a quadrilateral (shoelace formula)."""
    x, y = corners.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
