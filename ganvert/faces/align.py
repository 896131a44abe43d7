"""Aligned face crops, by the recipes with which the generators' training images were cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from PIL import Image

from ganvert.base.errors import ParamsError, PhotoError, ShapeError
from ganvert.base.registry import lookup

__all__ = ["RECIPES", "Aligned", "Recipe", "align", "cut_quad", "face_quad", "oriented_square"]

SUPERSAMPLING = 4  # the FFHQ script transforms to 4096 px and shrinks to 1024


@dataclasses.dataclass(frozen=True)
class Aligned:
    """A crop and where it came from."""

    crop: Image.Image  # RGB, resolution x resolution
    # float64 [4, 2]: corners TL, BL, BR, TR in pixels of the upright photo. Integers are pixel centres, so the crop's
    # outline is at quad + 0.5 in coordinates that count pixel edges. It may reach outside the photo.
    quad: np.ndarray


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A way to cut a crop: a function of (RGB image, landmarks [68, 2] or None, resolution)."""

    cut: Callable[[Image.Image, np.ndarray | None, int], Aligned]
    needs_face: bool


def align(image: Image.Image, landmarks: np.ndarray | None, resolution: int, recipe: str = "ffhq") -> Aligned:
    """Cut one aligned crop.

    Args:
        image: RGB photograph, upright.
        landmarks: [68, 2] (x, y) pixels; None only for recipes that need no face.
        resolution: side of the crop [px].
        recipe: a name in :data:`RECIPES`.

    Raises:
        UnknownNameError: no such recipe.
        ParamsError: the resolution is not positive.
        ShapeError: the recipe needs landmarks [68, 2] and got something else.
        PhotoError: the square around the face lies entirely outside the photo.
    """
    chosen = lookup(RECIPES, recipe, "alignment recipe")
    if resolution < 1:
        raise ParamsError(f"resolution: wanted 1 or more pixels, got {resolution}")
    if chosen.needs_face and (landmarks is None or np.shape(landmarks) != (68, 2)):
        got = "none" if landmarks is None else str(list(np.shape(landmarks)))
        raise ShapeError(f"recipe {recipe!r}: wanted landmarks [68, 2], got {got}")
    return chosen.cut(image.convert("RGB"), landmarks, resolution)


def cut_quad(image: Image.Image, quad: np.ndarray, px: int) -> Image.Image:
    """Return the part of an image that a quadrilateral encloses, RGB px x px; black where it leaves the image.

    Plainer and faster than :func:`align`, for networks that look at a crop: nothing is padded or supersampled.

    Args:
        image: of any size.
        quad: [4, 2] corners TL, BL, BR, TR, where integers are pixel centres.
        px: side of the result.
    """
    # The transform does not filter: what shrinks is cut out larger first.
    sides = np.linalg.norm(quad - np.roll(quad, 1, axis=0), axis=1)
    fine = px * max(round(float(sides.mean()) / px), 1)
    corners = (np.asarray(quad) + 0.5).flatten().tolist()
    crop = image.convert("RGB").transform((fine, fine), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return crop if fine == px else crop.resize((px, px), Image.Resampling.BOX)


def face_quad(landmarks: np.ndarray) -> np.ndarray:
    """Compute the oriented square around a face: corners TL, BL, BR, TR [4, 2] from 68 landmarks.

    Karras et al. 2019 (arXiv 1812.04948, appendix A; Karras et al. 2018, appendix C): half the side is the larger of
    2.0 eye distances and 1.8 eye-to-mouth distances, the centre lies a tenth of the way from eyes to mouth.
    """
    # Left and right as seen in the image. Eye centres are means of the six contour points of each eye.
    left_eye, right_eye = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    return oriented_square(left_eye, right_eye, (landmarks[48] + landmarks[54]) / 2, 2.0, 1.8, 0.1)


def oriented_square(
    left_eye: np.ndarray, right_eye: np.ndarray, mouth: np.ndarray, eyes_half: float, mouth_half: float, centre: float
) -> np.ndarray:
    """Compute a square that turns with a face: its axis is the eye line averaged with the perpendicular to the mouth.

    Args:
        left_eye: [2] (x, y) of the eye on the image's left.
        right_eye: of the other one.
        mouth: of the middle of the mouth.
        eyes_half: half the side, in distances of the eyes.
        mouth_half: half the side, in distances from eyes to mouth; the larger of both counts.
        centre: how far the centre lies below the eyes, in distances from eyes to mouth.

    Returns:
        Corners TL, BL, BR, TR [4, 2].
    """
    eyes = (left_eye + right_eye) / 2
    across, down = right_eye - left_eye, mouth - eyes
    # Two estimates of the horizontal axis, added: a turned head shortens the eye line and keeps the other one, a
    # nodding head the other way round. The longer one weighs more, as its angle is more certain.
    x = across - _turned(down)
    x *= max(eyes_half * np.hypot(*across), mouth_half * np.hypot(*down)) / np.hypot(*x)  # half the side of the square
    y, middle = _turned(x), eyes + centre * down
    return np.stack([middle - x - y, middle - x + y, middle + x + y, middle + x - y])


def _turned(vector: np.ndarray) -> np.ndarray:
    """Rotate by a quarter turn, clockwise as seen in an image (y points down): right becomes down."""
    return np.array([-vector[1], vector[0]])


def _cut_ffhq(image: Image.Image, landmarks: np.ndarray | None, resolution: int) -> Aligned:
    return _cut(image, face_quad(np.asarray(landmarks, dtype=np.float64)), resolution, enlarge=False)


def _cut_celebahq(image: Image.Image, landmarks: np.ndarray | None, resolution: int) -> Aligned:
    # CelebA-HQ was cut by 5 annotated points, for which the means of the eye contours stand in here. Its script shifts
    # all points by half a pixel, and enlarges small photos first (there by a learned network, here by LANCZOS).
    return _cut(image, face_quad(np.asarray(landmarks, dtype=np.float64)) + 0.5, resolution, enlarge=True)


def _cut_centre(image: Image.Image, landmarks: np.ndarray | None, resolution: int) -> Aligned:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    crop = image.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
    corners = np.array([[left, top], [left, top + side], [left + side, top + side], [left + side, top]])
    return Aligned(crop, corners - 0.5)


RECIPES: dict[str, Recipe] = {
    "ffhq": Recipe(_cut_ffhq, needs_face=True),
    "celebahq": Recipe(_cut_celebahq, needs_face=True),
    "center": Recipe(_cut_centre, needs_face=False),
}


def _cut(image: Image.Image, quad: np.ndarray, resolution: int, *, enlarge: bool) -> Aligned:
    """Shrink, crop, (enlarge,) pad and transform, as the FFHQ and CelebA-HQ scripts do.

    All constants are the scripts'. These scale the quad as if pixel centres were pixel corners, which shifts it by up
    to half a pixel of the shrunk photo. The crop follows the scripts; the returned quad is where it really lies.
    """
    side = float(np.hypot(*(quad[3] - quad[0])))
    scale, offset = np.ones(2), np.zeros(2)  # working edge coordinates = scale * photo edge coordinates + offset

    # Where the photo has over twice the wanted resolution, LANCZOS shrinks it first: the final transform is bilinear.
    shrink = int(np.floor(side / resolution * 0.5))
    if shrink > 1:
        size = (int(np.rint(image.width / shrink)), int(np.rint(image.height / shrink)))
        scale = np.array(size) / np.array(image.size)
        image, quad, side = image.resize(size, Image.Resampling.LANCZOS), quad / shrink, side / shrink

    border = max(int(np.rint(side * 0.1)), 3)
    low = np.maximum(np.floor(quad.min(0)).astype(int) - border, 0)
    high = np.minimum(np.ceil(quad.max(0)).astype(int) + border, image.size)
    if (low >= high).any():  # the square misses the photo: landmarks were far outside
        raise PhotoError(f"the face's square {quad.round(1).tolist()} lies outside the {image.size} photo")
    if (high - low < image.size).any():
        image, quad, offset = image.crop((*low.tolist(), *high.tolist())), quad - low, offset - low

    if enlarge:
        factor = 2 ** max(int(np.ceil(np.log2(resolution / side))), 0)
        if factor > 1:
            image = image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)
            quad, side, scale, offset = quad * factor, side * factor, scale * factor, offset * factor
            # The border stays that of the small photo, as in the script: enlarged too, it would widen the padding, and
            # with it the blur, which begins inside the photo at a third of the padding's width.

    # How far the square, with its border, reaches out of the photo at left and top, and at right and bottom.
    before = np.maximum(-np.floor(quad.min(0)).astype(int) + border, 0)
    after = np.maximum(np.ceil(quad.max(0)).astype(int) - np.array(image.size) + border, 0)
    if max(before.max(), after.max()) > border - 4:  # the square itself comes within 4 px of the edge
        least = int(np.rint(side * 0.3))
        before, after = np.maximum(before, least), np.maximum(after, least)
        image = _pad(image, before, after, blur=side * 0.02)
        quad, offset = quad + before, offset + before

    fine = SUPERSAMPLING * resolution
    corners = (quad + 0.5).flatten().tolist()
    crop = image.transform((fine, fine), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    crop = crop.resize((resolution, resolution), Image.Resampling.LANCZOS)
    return Aligned(crop, (quad + 0.5 - offset) / scale - 0.5)


def _pad(image: Image.Image, before: np.ndarray, after: np.ndarray, blur: float) -> Image.Image:
    """Reflect the photo around its edges, with more blur and more of the median colour further out, as in FFHQ."""
    widths = ((before[1], after[1]), (before[0], after[0]), (0, 0))
    pixels = np.pad(np.asarray(image, dtype=np.float32), widths, mode="reflect")
    height, width = pixels.shape[:2]
    y, x = np.ogrid[:height, :width]
    # 0 at the photo's edge, 1 at the outer edge of the padding, negative inside the photo.
    mask = np.maximum(
        1 - np.minimum(x / np.float32(before[0]), (width - 1 - x) / np.float32(after[0])),
        1 - np.minimum(y / np.float32(before[1]), (height - 1 - y) / np.float32(after[1])),
    )[:, :, None].astype(np.float32)
    # The blur begins inside the photo (mask -1/3) and is complete at its edge; the fade begins at the edge.
    pixels += (_gaussian(pixels, blur) - pixels) * np.clip(mask * 3 + 1, 0, 1)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(mask, 0, 1)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _gaussian(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Apply `scipy.ndimage.gaussian_filter` over both axes of [h, w, channels], in time independent of sigma.

    With mirrored edges its kernel, cut at 4 sigma, is diagonal in the cosine basis: two cosine transforms and a product
    replace the direct sum, which takes minutes at sigma 80 and 5000 px, as photos reach here.
    """
    from scipy.fft import dctn, idctn

    reach = np.arange(1, int(4 * sigma + 0.5) + 1)
    kernel = np.exp(-0.5 * (reach / sigma) ** 2)
    spectrum = dctn(pixels, axes=(0, 1))
    for axis in (0, 1):
        length = pixels.shape[axis]
        angles = np.pi / length * np.arange(length)
        # Eigenvalues of a symmetric kernel k: k_0 + 2 sum_j k_j cos(j angle), here divided by its sum.
        gain = (1 + 2 * np.cos(np.outer(angles, reach)) @ kernel) / (1 + 2 * kernel.sum())
        spectrum *= np.expand_dims(gain, tuple(i for i in range(3) if i != axis)).astype(pixels.dtype)
    return idctn(spectrum, axes=(0, 1))
