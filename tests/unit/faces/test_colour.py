"""Colour profiles against the formulas that they stand for."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ganvert.faces import open_photo
from ganvert.faces.colour import to_srgb
from ganvert.images import to_png

# Columns: red, green and blue of sRGB adapted to D50, as ICC asks for (IEC 61966-2-1, Bradford).
SRGB = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
ADOBE = np.array(
    [[0.6097559, 0.2052401, 0.1492240], [0.3111242, 0.6256560, 0.0632197], [0.0194811, 0.0608902, 0.7448387]]
)
WHITE = np.array([0.9642, 1.0, 0.8249])


def profile(gamma: float, matrix: np.ndarray | None = None) -> bytes:
    """A grey profile, or one of RGB with a matrix, whose tone curves are powers."""

    def xyz(values: np.ndarray) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">l", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">LHH", 1, round(gamma * 256), 0)
    tags = {b"wtpt": xyz(WHITE), b"desc": b"desc\0\0\0\0" + struct.pack(">L", 2) + b"x\0" + bytes(78)}
    if matrix is None:
        tags[b"kTRC"] = curve
    else:
        for name, column in zip("rgb", matrix.T, strict=True):
            tags |= {f"{name}XYZ".encode(): xyz(column), f"{name}TRC".encode(): curve}
    table, body, start = struct.pack(">L", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">LL", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    space = b"GRAY" if matrix is None else b"RGB "
    header = struct.pack(">L4sL4s4s4s", start + len(body), b"none", 0x02200000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + xyz(WHITE)[8:]
    return header.ljust(128, b"\0") + table + body


def encoded(linear: np.ndarray) -> np.ndarray:
    """sRGB's tone curve, in grey levels."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
@pytest.mark.parametrize("matrix", [SRGB, ADOBE], ids=["srgb", "adobe"])
def test_rgb(gamma: float, matrix: np.ndarray) -> None:
    wanted = encoded((PIXELS / 255) ** gamma @ (np.linalg.inv(SRGB) @ matrix).T)
    difference = np.abs(np.asarray(to_srgb(Image.fromarray(PIXELS), profile(gamma, matrix)), float) - wanted)
    assert difference.mean() < 0.5 and difference.max() < 6  # the last: dark pixels of a linear file of 8 bits


def test_adobe_rgb_of_a_camera_without_a_profile(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF  # colour space: uncalibrated
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    Image.fromarray(PIXELS).resize((300, 400), Image.Resampling.NEAREST).save(tmp_path / "a.jpg", exif=exif, quality=98)
    with Image.open(tmp_path / "a.jpg") as file:
        wanted = encoded((np.asarray(file) / 255) ** 2.2 @ (np.linalg.inv(SRGB) @ ADOBE).T)
    assert np.abs(np.asarray(open_photo(tmp_path / "a.jpg").image, float) - wanted).mean() < 0.5


def png_with(chunks: list[tuple[bytes, bytes]]) -> bytes:
    buffer, info = io.BytesIO(), PngImagePlugin.PngInfo()
    for name, value in chunks:
        info.add(name, value)
    Image.fromarray(PIXELS).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def test_gamma_and_primaries_of_a_png() -> None:
    white_and_adobe = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
    chrm = (b"cHRM", struct.pack(">8L", *(round(value * 1e5) for value in white_and_adobe)))
    gammas = {gamma: (b"gAMA", struct.pack(">L", round(1e5 / gamma))) for gamma in (1.0, 1.8, 2.2)}

    def shown(*chunks: tuple[bytes, bytes]) -> np.ndarray:
        return np.asarray(open_photo(png_with(list(chunks))).image, float)

    assert np.array_equal(shown(gammas[2.2]), PIXELS)
    assert np.array_equal(shown((b"sRGB", b"\0"), gammas[1.0], chrm), PIXELS)
    assert np.array_equal(shown((b"cHRM", bytes(32))), PIXELS)
    for gamma in (1.0, 1.8):
        assert np.abs(shown(gammas[gamma]) - encoded((PIXELS / 255) ** gamma)).mean() < 0.5
    wanted = encoded((PIXELS / 255) ** 1.8 @ (np.linalg.inv(SRGB) @ ADOBE).T)
    assert np.abs(shown(gammas[1.8], chrm) - wanted).mean() < 0.5


@pytest.mark.parametrize("matrix", [None, SRGB], ids=["grey profile", "RGB profile"])
def test_grey_stays_grey(matrix: np.ndarray | None) -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    converted = to_srgb(Image.fromarray(ramp), profile(1.0, matrix))
    assert converted.mode == "L"
    assert np.abs(np.asarray(converted, float) - encoded(ramp / 255)).max() < 1.5


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_every_mode_that_stores_a_profile(tmp_path: Path, mode: str, suffix: str) -> None:
    grey = Image.fromarray(np.full((8, 8), 100, np.uint8))
    linear = profile(1.0, None if mode in ("L", "LA", "1") else SRGB)
    colours = grey.convert("RGB")
    (colours.quantize(2) if mode == "P" else colours.convert(mode)).save(tmp_path / f"a.{suffix}", icc_profile=linear)
    photo = open_photo(tmp_path / f"a.{suffix}")
    value = np.asarray(photo.image)[4, 4].tolist()
    wanted = round(float(encoded(np.array(100 / 255))))
    assert mode == "1" or all(abs(part - wanted) <= 1 for part in value)
    assert not photo.image.info and not photo.original.info


@pytest.mark.parametrize("sixteen", [np.uint16, np.int32])
def test_deep_grey(tmp_path: Path, sixteen: type) -> None:
    Image.fromarray(np.full((8, 8), 100 * 257, sixteen)).save(tmp_path / "a.tif", icc_profile=profile(1.0))
    assert abs(int(np.asarray(open_photo(tmp_path / "a.tif").image)[0, 0, 0]) - encoded(np.array(100 / 255))) <= 1


@pytest.mark.parametrize("case", [b"", b"x", profile(1.0)[:200], profile(1.0), bytes(1 << 20)], ids=range(5))
def test_a_profile_that_does_not_fit_is_ignored(case: bytes) -> None:
    picture = Image.fromarray(PIXELS)
    assert to_srgb(picture, case).tobytes() == picture.tobytes()
    cmyk = picture.convert("CMYK")
    assert to_srgb(cmyk, case).tobytes() == cmyk.convert("RGB").tobytes()


def test_srgb_profiles_change_no_pixel() -> None:
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert to_srgb(Image.fromarray(PIXELS), srgb).tobytes() == PIXELS.tobytes()


def test_lab(tmp_path: Path) -> None:
    Image.new("LAB", (4, 4), (128, 128, 128)).save(tmp_path / "a.tif")  # L 50, a and b 0: a middle grey
    pixel = np.asarray(open_photo(tmp_path / "a.tif").image)[0, 0].astype(int)
    assert np.abs(pixel - 119).max() <= 3


def test_a_large_profile_does_not_reach_crops(tmp_path: Path) -> None:
    padded = bytearray(profile(1.0, SRGB) + bytes(12_000_000))
    struct.pack_into(">L", padded, 0, len(padded))
    for suffix in ("png", "tif"):
        Image.fromarray(PIXELS).save(tmp_path / f"a.{suffix}", icc_profile=bytes(padded))
        photo = open_photo(tmp_path / f"a.{suffix}")
        assert photo.image.tobytes() == to_srgb(Image.fromarray(PIXELS), profile(1.0, SRGB)).tobytes()
        data = to_png(photo.image)
        assert len(data) < 10_000
        with Image.open(io.BytesIO(data)) as written:
            assert written.info == {"srgb": 0}
    with Image.open(tmp_path / "a.tif") as file:  # Pillow alone would carry the profile on
        assert len(to_png(file)) < 10_000
