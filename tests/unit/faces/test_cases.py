"""Every file of tests/cases comes out as the reference picture, or is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvert.base.errors import PhotoError
from ganvert.faces.photo import open_photo

CASES = Path(__file__).parents[2] / "cases"
JPEG = 1.2  # mean difference, in grey levels, that JPEG makes of the reference
#: File to reference, largest mean difference from it [grey levels], and the EXIF orientation.
RIGHT = {
    "apng_hidden_default.png": ("ref_rgb.png", 0, 1),  # its first frame, not the picture for old programs
    "badexif_double_header.jpg": ("ref_rgb.png", JPEG, 6),
    "badexif_negative_over_zero.jpg": ("ref_rgb.png", JPEG, 6),
    "icc_adobe_rgb.png": ("ref_rgb.png", 0.2, 1),
    "icc_broken.png": ("ref_rgb.png", 0, 1),
    "icc_cmyk.jpg": ("ref_cmyk_managed.png", 0.6, 1),
    "icc_display_p3.jpg": ("ref_rgb.png", JPEG, 1),
    "icc_display_p3.png": ("ref_rgb.png", 0.2, 1),
    "pages_thumb_first.tif": ("ref_rgb.png", 0, 1),
    "png_big_text.png": ("ref_rgb.png", 0, 1),
    "really_png.jpg": ("ref_rgb.png", 0, 1),
    "ref_cmyk_managed.png": ("ref_cmyk_managed.png", 0, 1),
    "ref_rgb.png": ("ref_rgb.png", 0, 1),
    "xmp6.jpg": ("ref_rgb.png", JPEG, 6),
}
REFUSED = {
    "crc.png": "cannot be read or decoded",  # its pixels are damaged, as their checksum says
    "heic_as.jpg": "a HEIC picture; convert it to JPEG or PNG",
}
OTHERS = {
    "README.md",
    "bitflip.jpg",  # a JPEG has no checksum: it opens, damaged
    "grey12in16.png",
    "rgba.png",
    "rgba_hidden_noise.png",
    "turned90.png",  # see test_pipeline.py
}


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=float)


def reference(name: str = "ref_rgb.png") -> Image.Image:
    with Image.open(CASES / name) as file:
        return file.convert("RGB")


def test_every_case_is_tested() -> None:
    assert {file.name for file in CASES.iterdir()} == {*RIGHT, *REFUSED, *OTHERS}


@pytest.mark.parametrize("name", RIGHT)
def test_looks_like_the_reference(name: str) -> None:
    wanted, tolerance, orientation = RIGHT[name]
    photo = open_photo(CASES / name)
    assert photo.image.mode == "RGB" and photo.exif_orientation == orientation
    assert np.abs(pixels(photo.image) - pixels(reference(wanted))).mean() <= tolerance
    assert not photo.image.info  # no profile, no text, no place


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(PhotoError, match=REFUSED[name]):
        open_photo(CASES / name)


def test_twelve_bits_in_sixteen() -> None:
    photo = open_photo(CASES / "grey12in16.png")
    assert photo.mode == "I;16" and photo.original.mode == "L"
    assert np.abs(pixels(photo.original) - pixels(reference().convert("L"))).max() <= 2


@pytest.mark.parametrize("name", ["rgba.png", "rgba_hidden_noise.png"])
def test_transparency(name: str) -> None:
    photo = open_photo(CASES / name)
    assert photo.original.mode == "RGBA"
    with Image.open(CASES / name) as file:
        assert np.array_equal(photo.original, file)  # with the colours below transparent pixels
    alpha, shown = np.asarray(photo.original.getchannel("A")), np.asarray(photo.image)
    assert (shown[alpha == 0] == 255).all() and (alpha == 0).any()
    assert np.array_equal(shown[alpha == 255], np.asarray(reference())[alpha == 255])
