"""Any mode, orientation or breakage of a photo file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvert.base.errors import InputError, PhotoError
from ganvert.faces.decode import TooLargeError
from ganvert.faces.listing import find_photos
from ganvert.faces.photo import open_photo

RAMP = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(48, 0)  # [48, 64] grey ramp


def corners(width: int = 60, height: int = 40) -> Image.Image:
    """A picture whose four quarters differ."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    pixels[height // 2 :, width // 2 :] = (255, 255, 0)
    return Image.fromarray(pixels)


# How a camera stored the upright scene: what undoes each EXIF orientation, by the EXIF standard.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_ends_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = corners()
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](np.asarray(upright))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"a.{suffix}"
    stored.save(file, exif=exif)
    photo = open_photo(file)
    assert photo.size == upright.size
    assert photo.exif_orientation == orientation
    difference = np.abs(np.asarray(photo.image, float) - np.asarray(upright, float))
    assert difference.mean() < 8  # JPEG blurs colour at the quarters' edges


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "1"])
def test_modes(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture = Image.fromarray(RAMP)
    (picture.convert("RGB") if mode == "CMYK" else picture).convert(mode).save(file)
    photo = open_photo(file)
    assert photo.image.mode == "RGB" and photo.mode == mode and photo.size == (64, 48)
    if mode != "1":  # one bit is dithered: only its mean is comparable
        assert np.abs(np.asarray(photo.image, float) - RAMP[:, :, None]).max() <= 3
    assert abs(np.asarray(photo.image, float).mean() - RAMP.mean()) < 3


def test_adobe_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (32, 32), (255, 0, 0, 0)).save(tmp_path / "a.jpg")  # Pillow writes Adobe's inverted form
    photo = open_photo(tmp_path / "a.jpg")
    assert photo.mode == "CMYK"
    assert np.abs(np.asarray(photo.image, int) - (0, 255, 255)).max() <= 4


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("a.png", (RAMP.astype(np.uint16) * 257)),
        ("a.tif", (RAMP.astype(np.uint16) * 257)),
        ("b.tif", RAMP.astype(np.float32) / 255),
        ("c.tif", RAMP.astype(np.float32)),
        ("d.tif", RAMP.astype(np.float32) * 10 - 700),
        ("e.tif", RAMP.astype(np.int32) * 257),
        ("f.tif", RAMP.astype(np.int32) * 100_000),
    ],
)
def test_deep_grey_is_scaled_not_clipped(tmp_path: Path, name: str, values: np.ndarray) -> None:
    Image.fromarray(values).save(tmp_path / name)
    pixels = np.asarray(open_photo(tmp_path / name).image, int)
    assert np.abs(pixels - RAMP[:, :, None]).max() <= 1


def test_floats_that_are_not_finite_and_flat_pictures(tmp_path: Path) -> None:
    values = np.array([[np.nan, np.inf, 1.0, 0.5]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.asarray(open_photo(tmp_path / "a.tif").image)[0, :, 0].tolist() == [0, 0, 255, 128]
    Image.fromarray(np.full((4, 4), -5.0, np.float32)).save(tmp_path / "b.tif")
    assert not np.asarray(open_photo(tmp_path / "b.tif").image).any()


def test_transparency_shows_white(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    picture.putpixel((0, 0), (255, 0, 0, 255))
    picture.save(tmp_path / "rgba.png")
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((0, 0), 0)
    palette.save(tmp_path / "p.png", transparency=1)
    for name in ("rgba.png", "p.png"):
        pixels = np.asarray(open_photo(tmp_path / name).image)
        assert pixels[0, 0].tolist() == [255, 0, 0] and pixels[3, 3].tolist() == [255, 255, 255]


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_photo(tmp_path / "a.gif").image.getpixel((3, 3)) == (255, 0, 0)


def test_mode_without_a_way_to_rgb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(image: Image.Image, profile: bytes | None) -> Image.Image:
        raise ValueError("conversion from LAB to RGB not supported")

    Image.new("LAB", (8, 8)).save(tmp_path / "a.tif")
    monkeypatch.setattr("ganvert.faces.photo.to_srgb", refuse)  # depends on Pillow's version
    with pytest.raises(PhotoError, match="LAB"):
        open_photo(tmp_path / "a.tif")


def test_id_is_of_the_bytes(tmp_path: Path) -> None:
    corners().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    assert open_photo(tmp_path / "a.png").photo_id == open_photo(tmp_path / "b.png").photo_id
    assert len(open_photo(tmp_path / "a.png").photo_id) == 64


def test_bytes_are_as_good_as_a_file(tmp_path: Path) -> None:
    corners().save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    one, other = open_photo(tmp_path / "a.png"), open_photo(data, name="b.zip!a.png")
    assert one.photo_id == other.photo_id and np.array_equal(one.image, other.image)
    with pytest.raises(PhotoError, match=r"^b\.zip!a\.png: not an image"):
        open_photo(b"text", name="b.zip!a.png")
    with pytest.raises(TooLargeError, match=r"^b\.zip!a\.png: 60 x 40 px"):
        open_photo(data, 2399, "b.zip!a.png")
    with pytest.raises(PhotoError, match=r"^photograph: "):
        open_photo(b"")


def test_broken_files(tmp_path: Path) -> None:
    good = tmp_path / "good.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(good)
    cases = {
        "cut.jpg": good.read_bytes()[:4000],
        "empty.png": b"",
        "text.png": b"hello",
        "half.jpg": b"\xff\xd8\xff\xe0",
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PhotoError, match=name) as caught:
            open_photo(tmp_path / name)
        assert caught.value.status == "unreadable"
    with pytest.raises(PhotoError, match="gone"):
        open_photo(tmp_path / "gone.png")


def bomb(width: int, height: int) -> bytes:
    """A PNG header that promises width x height, with next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [11_000, 60_000])  # over max_pixels; over Pillow's own limit
def test_decompression_bombs(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(side, side))
    with pytest.raises(TooLargeError) as caught:
        open_photo(tmp_path / "bomb.png")
    assert caught.value.status == "too_large"


def test_max_pixels_is_inclusive(tmp_path: Path) -> None:
    corners(60, 40).save(tmp_path / "a.png")
    assert open_photo(tmp_path / "a.png", max_pixels=2400).size == (60, 40)
    with pytest.raises(TooLargeError, match=r"60 x 40 px are 2400 pixels, and at most 2399 are read"):
        open_photo(tmp_path / "a.png", max_pixels=2399)


def test_find_photos(tmp_path: Path) -> None:
    for name in ("b.JPG", "sub/a.png", ".hidden.png", ".cache/c.png", "notes.txt", "a.webp"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
    assert [p.relative_to(tmp_path).as_posix() for p in find_photos([tmp_path, tmp_path / "sub"])] == [
        "a.webp",
        "b.JPG",
        "sub/a.png",
    ]
    assert find_photos([tmp_path / "a.webp"]) == [tmp_path / "a.webp"]


def test_find_photos_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such photograph or folder"):
        find_photos([tmp_path / "none"])
    with pytest.raises(InputError, match="no photos in"):
        find_photos([tmp_path])
    with pytest.raises(InputError, match="no folder given"):
        find_photos([])


def test_links_to_files_count_and_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").write_bytes(b"x")
    (tmp_path / "link.png").symlink_to("sub/a.png")
    (tmp_path / "lost.png").symlink_to("nowhere.png")  # becomes a row that says so
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "folder.png").symlink_to("sub")
    found = [path.relative_to(tmp_path).as_posix() for path in find_photos([tmp_path])]
    assert found == ["link.png", "lost.png", "sub/a.png"]


def test_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object = ".") -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)  # root ignores mode bits, so the refusal is simulated
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        find_photos([tmp_path])
