"""The alignment recipes against an independent derivation, and against themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.ndimage import gaussian_filter

from ganvert.base.errors import ParamsError, PhotoError, ShapeError, UnknownNameError
from ganvert.faces.align import RECIPES, _gaussian, align, face_quad

Smooth = Callable[[int, int], Image.Image]
Landmarks = Callable[..., np.ndarray]


def complex_quad(points: np.ndarray) -> np.ndarray:
    """The FFHQ square once more, in complex arithmetic: a quarter turn is a factor i."""
    p = points[:, 0] + 1j * points[:, 1]
    left, right = p[36:42].mean(), p[42:48].mean()
    down = (p[48] + p[54]) / 2 - (left + right) / 2
    axis = (right - left) - 1j * down
    half = axis / abs(axis) * max(2 * abs(right - left), 1.8 * abs(down))
    centre = (left + right) / 2 + 0.1 * down
    corners = centre + half * np.array([-1 - 1j, -1 + 1j, 1 + 1j, 1 - 1j])
    return np.stack([corners.real, corners.imag], -1)


def test_quad_equals_an_independent_derivation() -> None:
    generator = np.random.default_rng(3)
    for _ in range(20):
        points = generator.normal(300, 40, (68, 2))
        np.testing.assert_allclose(face_quad(points), complex_quad(points), rtol=0, atol=1e-9)


def test_quad_of_an_upright_face_by_hand(landmarks: Landmarks) -> None:
    quad = face_quad(landmarks(500 + 400j, eyes=100, mouth=100, roll=0))
    # half side = max(200, 180); centre 10 px below the eyes
    np.testing.assert_allclose(quad, [[300, 210], [300, 610], [700, 610], [700, 210]], atol=1e-9)


def test_quad_of_an_aligned_face_is_the_whole_crop(landmarks: Landmarks) -> None:
    points = landmarks(256 + 240j, eyes=120, mouth=128, roll=0.2)
    quad = face_quad(points)
    basis = np.stack([quad[3] - quad[0], quad[1] - quad[0]], 1)
    inside = np.linalg.solve(basis, (points - quad[0]).T).T * 1024 - 0.5
    np.testing.assert_allclose(face_quad(inside) + 0.5, [[0, 0], [0, 1024], [1024, 1024], [1024, 0]], atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1.7, 6.5])
@pytest.mark.parametrize("recipe", [name for name, recipe in RECIPES.items() if recipe.needs_face])
def test_crop_shows_what_lies_under_its_quad(recipe: str, scale: float, landmarks: Landmarks) -> None:
    """The crop of a colour ramp tells where each of its pixels came from, also after shrinking."""
    size = round(300 * scale)
    y, x = np.mgrid[:size, :size] / size
    photo = Image.fromarray((np.stack([x, y, 0.5 * (x + y)], -1) * 255).round().astype(np.uint8))
    points = landmarks(complex(0.5 * size, 0.47 * size), 0.12 * size, 0.12 * size, 0.3)
    resolution = 64
    aligned = align(photo, points, resolution, recipe)
    inverted = align(ImageOps.invert(photo), points, resolution, recipe)
    # Pillow's transform rounds down; the inverted ramp has that error the other way round.
    ramp = (np.asarray(aligned.crop, float) + 255 - np.asarray(inverted.crop, float))[..., :2] / 2
    steps, quad = (np.arange(resolution) + 0.5) / resolution, aligned.quad + 0.5
    where = quad[0] + steps[None, :, None] * (quad[3] - quad[0]) + steps[:, None, None] * (quad[1] - quad[0]) - 0.5
    error = ramp - where / size * 255
    assert np.abs(error).max() < 1.2  # of 255 levels across the photo
    assert np.abs(error.mean((0, 1))).max() < 0.05  # the shrunk quad's half pixel would show as up to 0.4
    np.testing.assert_allclose(quad - 0.5, face_quad(points), atol=0.004 * size)


def published_crop(photo: Image.Image, quad: np.ndarray, resolution: int, *, enlarge: bool) -> np.ndarray:
    """The order of operations of Karras et al.'s scripts once more: `zoom` and `border`, every length from the zoom.

    CelebA-HQ's script (`enlarge`) takes the border from the zoom once, before it enlarges; the widths of padding and
    blur come from the zoom afterwards.
    """
    zoom = resolution / np.hypot(*(quad[3] - quad[0]))  # enlargement from photograph to crop
    if (whole := int(0.5 / zoom)) > 1:
        photo = photo.resize(tuple(round(length / whole) for length in photo.size), Image.Resampling.LANCZOS)
        quad, zoom = quad / whole, zoom * whole
    border = max(round(0.1 * resolution / zoom), 3)
    (left, top), (right, bottom) = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    left, top = max(left - border, 0), max(top - border, 0)
    photo = photo.crop((left, top, min(right + border, photo.width), min(bottom + border, photo.height)))
    quad = quad - (left, top)
    if enlarge and (factor := 2 ** max(int(np.ceil(np.log2(zoom))), 0)) > 1:
        photo = photo.resize((photo.width * factor, photo.height * factor), Image.Resampling.LANCZOS)
        quad, zoom = quad * factor, zoom / factor

    (left, top), (right, bottom) = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    pads = np.maximum([border - left, border - top, right - photo.width + border, bottom - photo.height + border], 0)
    if max(pads) > border - 4:
        pads = np.maximum(pads, round(0.3 * resolution / zoom))
        pixels = np.asarray(photo, dtype=np.float64)
        pixels = np.pad(pixels, ((pads[1], pads[3]), (pads[0], pads[2]), (0, 0)), mode="reflect")
        y, x = np.indices(pixels.shape[:2])[..., None]
        high, wide = np.array(pixels.shape[:2]) - 1
        mask = 1 - np.min(np.broadcast_arrays(x / pads[0], y / pads[1], (wide - x) / pads[2], (high - y) / pads[3]), 0)
        blur = 0.02 * resolution / zoom
        pixels += (gaussian_filter(pixels, (blur, blur, 0)) - pixels) * np.clip(3 * mask + 1, 0, 1)
        pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(mask, 0, 1)
        photo = Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8))
        quad = quad + pads[:2]
    corners = (quad + 0.5).flatten().tolist()
    fine = photo.transform((4 * resolution,) * 2, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return np.asarray(fine.resize((resolution, resolution), Image.Resampling.LANCZOS), dtype=float)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.5], ids=["enlarged", "as it is", "shrunk"])
@pytest.mark.parametrize("outside", [0.0, 0.15, 0.25, 0.45], ids=lambda share: f"{share:.0%} outside")
@pytest.mark.parametrize("recipe", ["ffhq", "celebahq"])
def test_crop_equals_the_published_order_of_operations(
    recipe: str, outside: float, scale: float, smooth: Smooth, landmarks: Landmarks
) -> None:
    """At most one grey level, also where the square leaves the photograph at the left and at the top."""
    size, eyes, resolution = round(400 * scale), 40 * scale, 128
    half = 2 * eyes
    at = half * (1.2 - 2 * outside) if outside else 0.5 * size
    points = landmarks(complex(at, at), eyes, eyes, 0.15)
    photo = smooth(size, size)
    noise = np.random.default_rng(1).integers(-20, 21, (size, size, 3))  # fine detail shows where blur begins
    photo = Image.fromarray(np.clip(np.asarray(photo, int) + noise, 0, 255).astype(np.uint8))
    quad = complex_quad(points) + (0.5 if recipe == "celebahq" else 0)
    expected = published_crop(photo, quad, resolution, enlarge=recipe == "celebahq")
    crop = np.asarray(align(photo, points, resolution, recipe).crop, dtype=float)
    assert np.abs(crop - expected).max() <= 1


def test_padding_reflects_and_fades(smooth: Smooth, landmarks: Landmarks) -> None:
    photo = smooth(200, 200)
    aligned = align(photo, landmarks(30 + 100j, 40, 40, 0), 128, "ffhq")
    pixels = np.asarray(aligned.crop, float)
    assert aligned.quad[0, 0] < -40  # reaches far out of the photo
    assert pixels.min() > 0  # nothing black came in
    assert pixels[:, :5].std() < pixels[:, 64:].std()  # far out it is nearly the median colour


@pytest.mark.parametrize("sigma", [0.7, 3.0, 25.0])
def test_gaussian_equals_scipy(sigma: float) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (61, 47, 3)).astype(np.float32)
    expected = gaussian_filter(pixels.astype(np.float64), [sigma, sigma, 0])
    np.testing.assert_allclose(_gaussian(pixels, sigma), expected, atol=2e-3)


def test_celebahq_is_ffhq_half_a_pixel_further(smooth: Smooth, landmarks: Landmarks) -> None:
    photo, points = smooth(400, 400), landmarks(200 + 190j, 50, 52, 0.1)
    ffhq, celebahq = (align(photo, points, 128, recipe).quad for recipe in ("ffhq", "celebahq"))
    np.testing.assert_allclose(celebahq - ffhq, 0.5, atol=1e-6)


def test_centre_square(smooth: Smooth) -> None:
    aligned = align(smooth(300, 200), None, 64, "center")
    assert aligned.crop.size == (64, 64)
    np.testing.assert_allclose(aligned.quad + 0.5, [[50, 0], [50, 200], [250, 200], [250, 0]])


def test_refusals(smooth: Smooth, landmarks: Landmarks) -> None:
    photo = smooth(100, 100)
    with pytest.raises(UnknownNameError, match="ffhq"):
        align(photo, None, 64, "fhq")
    with pytest.raises(ShapeError, match="got none"):
        align(photo, None, 64)
    with pytest.raises(ParamsError, match="resolution"):
        align(photo, None, 0, "center")
    with pytest.raises(PhotoError, match="outside"):
        align(photo, landmarks(900 + 900j, 20, 20, 0), 64)
