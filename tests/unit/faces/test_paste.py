"""Pasting back: exact outside, faithful inside, seamless between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from ganvert.base.errors import ParamsError, ShapeError
from ganvert.faces.align import align
from ganvert.faces.paste import homography, paste, soft_mask

Smooth = Callable[[int, int], Image.Image]
Landmarks = Callable[..., np.ndarray]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b.astype(float)) ** 2), 1e-12))


@pytest.mark.parametrize(("size", "roll"), [(300, 0.0), (600, 0.35), (1500, -0.8)])
def test_unaligning_the_crop_gives_the_photo_back(size: int, roll: float, smooth: Smooth, landmarks: Landmarks) -> None:
    photo = smooth(size, size)
    points = landmarks(complex(0.5 * size, 0.48 * size), 0.11 * size, 0.12 * size, roll)
    aligned = align(photo, points, 256)
    pasted = np.asarray(paste(photo, aligned.crop, aligned.quad))
    assert psnr(pasted, np.asarray(photo)) > 40
    changed = np.zeros((size, size), bool)
    low, high = np.floor(aligned.quad.min(0)).astype(int), np.ceil(aligned.quad.max(0)).astype(int) + 1
    changed[low[1] : high[1], low[0] : high[0]] = True
    assert psnr(pasted[changed], np.asarray(photo)[changed]) > 40


def test_outside_the_mask_not_a_bit_changes_and_inside_it_is_the_crop(smooth: Smooth) -> None:
    photo = smooth(200, 160)
    quad = np.array([[40, 30], [30, 110], [110, 120], [120, 40]], float)
    mask = soft_mask(homography(quad + 0.5), 200, 160, 0.1)
    pasted = np.asarray(paste(photo, Image.new("RGB", (300, 300), (250, 10, 20)), quad, feather=0.1))
    assert (pasted[mask == 0] == np.asarray(photo)[mask == 0]).all()
    assert (pasted[mask == 1] == (250, 10, 20)).all()
    assert (mask == 1).sum() > 3000 and (mask == 0).sum() > 200 * 160 / 2


def test_no_seam_is_steeper_than_the_feather() -> None:
    photo, crop = Image.new("RGB", (400, 400), "black"), Image.new("RGB", (64, 64), "white")
    quad = np.array([[50, 50], [50, 350], [350, 350], [350, 50]], float)
    pixels = np.asarray(paste(photo, crop, quad, feather=0.1), float)[..., 0]
    steepest = max(np.abs(np.diff(pixels, axis=0)).max(), np.abs(np.diff(pixels, axis=1)).max())
    assert steepest <= 255 * 1.5 / 30 + 1  # the smooth ramp's steepest point over 30 px


def test_difference_keeps_the_photo_where_nothing_is_edited(smooth: Smooth) -> None:
    photo = smooth(300, 300)
    crop = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    quad = np.array([[60, 60], [60, 240], [240, 240], [240, 60]], float)
    same = paste(photo, crop, quad, mode="difference", reference=crop)
    assert (np.asarray(same) == np.asarray(photo)).all()
    base = Image.new("RGB", (64, 64), (100, 100, 100))
    edited = Image.new("RGB", (64, 64), (110, 100, 95))
    moved = np.asarray(paste(photo, edited, quad, mode="difference", reference=base), int)[150, 150]
    assert (moved - np.asarray(photo, int)[150, 150]).tolist() == [10, 0, -5]


def test_details_that_the_edit_draws_anew_are_the_edits() -> None:
    """The photograph's own would be those of teeth behind lips that are closed now."""
    rows, columns = np.mgrid[0:240, 0:240]
    photo = np.repeat((120 + 20 * (-1) ** (rows + columns))[..., None], 3, axis=2).astype(
        np.uint8
    )  # the model missed it
    edited = np.full((240, 240, 3), 150, np.uint8)
    edited[:, :120] += (60 * (-1) ** (columns[:, :120] // 2))[..., None].astype(np.int8).astype(np.uint8)
    quad = np.array([[0, 0], [0, 240], [240, 240], [240, 0]], float) - 0.5
    reference = Image.new("RGB", (240, 240), (150, 150, 150))
    pasted = paste(Image.fromarray(photo), Image.fromarray(edited), quad, 0.05, mode="difference", reference=reference)
    pixels, inner = np.asarray(pasted, int), slice(40, 200)
    np.testing.assert_array_equal(pixels[inner, 150:200], photo[inner, 150:200])
    # In the colours of the photograph, which is darker than what the model made of it.
    np.testing.assert_allclose(pixels[inner, 40:90], edited[inner, 40:90].astype(int) - 30, atol=2)


def test_quad_partly_or_wholly_outside(smooth: Smooth) -> None:
    photo, crop = smooth(100, 80), Image.new("RGB", (50, 50), (9, 9, 9))
    out = paste(photo, crop, np.array([[-40, -40], [-40, 40], [40, 40], [40, -40]], float))
    assert (
        out.size == photo.size
        and out.getpixel((5, 5)) == (9, 9, 9)
        and out.getpixel((99, 79)) == photo.getpixel((99, 79))
    )
    away = paste(photo, crop, np.array([[200, 200], [200, 240], [240, 240], [240, 200]], float))
    assert (np.asarray(away) == np.asarray(photo)).all()


def test_colour_match_removes_a_cast(smooth: Smooth, landmarks: Landmarks) -> None:
    photo = smooth(400, 400)
    aligned = align(photo, landmarks(200 + 190j, 44, 48, 0.1), 256)
    cast = Image.fromarray(np.clip(np.asarray(aligned.crop) * 0.9 + (12, 0, 6), 0, 255).astype(np.uint8))
    plain = psnr(np.asarray(paste(photo, cast, aligned.quad)), np.asarray(photo))
    matched = psnr(np.asarray(paste(photo, cast, aligned.quad, colour_match=True)), np.asarray(photo))
    assert matched > plain + 8


def test_homography_takes_corners_to_the_unit_square() -> None:
    corners = np.array([[3, 4], [1, 90], [80, 101], [77, 9]], float)
    mapped = homography(corners) @ np.vstack([corners.T, np.ones(4)])
    np.testing.assert_allclose((mapped[:2] / mapped[2]).T, [[0, 0], [0, 1], [1, 1], [1, 0]], atol=1e-12)


def test_refusals(smooth: Smooth) -> None:
    photo, crop, quad = smooth(50, 50), smooth(20, 20), np.array([[0, 0], [0, 20], [20, 20], [20, 0]], float)
    with pytest.raises(ParamsError, match="feather"):
        paste(photo, crop, quad, feather=0.7)
    with pytest.raises(ParamsError, match="reference"):
        paste(photo, crop, quad, mode="difference")
    with pytest.raises(ParamsError, match="reference"):
        paste(photo, crop, quad, reference=crop)
    with pytest.raises(ShapeError, match="square"):
        paste(photo, smooth(20, 30), quad)
    with pytest.raises(ShapeError, match=r"\[4, 2\]"):
        paste(photo, crop, quad[:3])
    with pytest.raises(ShapeError, match="no area"):
        paste(photo, crop, np.array([[0, 0], [0, 0], [20, 20], [20, 20]], float))
