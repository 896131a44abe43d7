"""A closed list of formats, the right page, metadata that cannot stop the pixels, regular files only."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ganvert.base.errors import PhotoError
from ganvert.faces import AlignOptions, align_photos, decode, find_photos, listing, open_photo
from ganvert.faces.decode import TooLargeError
from ganvert.faces.pipeline import align_photo

ROOT = Path(__file__).parents[3]
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "JPEG2000", "PPM"])
def test_formats_that_are_read(kind: str) -> None:
    assert open_photo(encoded(kind)).size == (20, 12) and kind in decode.FORMATS


@pytest.mark.parametrize("kind", ["EPS", "ICO", "TGA", "SGI", "PCX", "IM", "PDF", "DDS", "ICNS"])
def test_other_formats_are_refused_whatever_their_ending(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(kind))
    with pytest.raises(PhotoError, match=r"a\.jpg: .*not an image that can be read.*convert it to JPEG or PNG"):
        open_photo(tmp_path / "a.jpg")


def test_ghostscript_is_never_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "a.png").write_bytes(encoded("EPS"))
    with pytest.raises(PhotoError, match="but a PostScript file"):
        open_photo(tmp_path / "a.png")
    assert not (tmp_path / "started").exists()


def test_no_other_place_opens_images_without_the_list() -> None:
    calls = {
        (file.relative_to(ROOT).as_posix(), call)
        for folder in ("ganvert", "stages", "flows")
        for file in (ROOT / folder).rglob("*.py")
        for call in re.findall(r"Image\.open\(.*", file.read_text())
    }
    assert calls and all("formats=" in call for _, call in calls), calls


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "an empty file"),
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"\xff\x0a" + bytes(30), "a JPEG XL picture"),
        (b"\0\0\0\x18ftypisom", "a video"),
    ],
)
def test_what_a_refused_file_is(data: bytes, kind: str) -> None:
    with pytest.raises(PhotoError, match=kind):
        open_photo(data)


# pages and frames


def pages(*sizes: tuple[int, int], **options: object) -> bytes:
    buffer = io.BytesIO()
    first, *others = [Image.new("RGB", size, (size[0], 0, 0)) for size in sizes]
    first.save(buffer, "TIFF", save_all=True, append_images=others, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("sizes", [[(8, 8), (40, 30), (20, 20)], [(40, 30)], [(40, 30), (30, 40)], [(9, 9), (40, 30)]])
def test_largest_page(sizes: list[tuple[int, int]]) -> None:
    photo = open_photo(pages(*sizes))
    assert photo.size == (40, 30) and photo.image.getpixel((0, 0)) == (40, 0, 0)


def test_orientation_of_the_largest_page() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_photo(pages((8, 8), (40, 30), exif=exif)).size == (30, 40)


def test_pages_beyond_the_limit_and_damaged_pages_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_PAGES", 2)
    assert open_photo(pages((8, 8), (9, 9), (40, 30))).size == (9, 9)
    two, one = pages((8, 8), (40, 30)), pages((8, 8))
    assert open_photo(two[: len(one) + 20]).size == (8, 8)  # the second directory is cut off


def test_preview_of_a_raw_file() -> None:
    with pytest.raises(PhotoError, match="a raw file of a camera, of which only the preview"):
        open_photo(encoded("TIFF", tiffinfo={254: 1, 330: 8}))


# metadata


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", checksum or zlib.crc32(kind + data))


def with_chunk(inserted: bytes) -> bytes:
    png = encoded("PNG")
    return png[:33] + inserted + png[33:]  # behind IHDR


@pytest.mark.parametrize(
    "inserted",
    [
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3 << 20))),
        chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(3 << 20))),
        chunk(b"tEXt", b"a\0b", 1),
        chunk(b"gAMA", b"\0"),
        chunk(b"pHYs", b""),
        chunk(b"iCCP", b"x\0\0" + b"no zlib"),
        chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(80 << 20))),
        chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
        chunk(b"eXIf", b"nonsense"),
    ],
    ids=range(9),
)
def test_png_with_odd_metadata(inserted: bytes) -> None:
    assert np.array_equal(open_photo(with_chunk(inserted)).image, PIXELS)


def test_png_orientation_survives_the_text() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("a", "b" * (3 << 20), zip=True)
    assert open_photo(encoded("PNG", pnginfo=text, exif=exif)).size == (12, 20)


def test_png_with_a_wrong_checksum_over_whole_pixels_and_over_damaged_ones() -> None:
    png = encoded("PNG")
    start = png.index(b"IDAT")
    (length,) = struct.unpack_from(">L", png, start - 4)
    wrong = bytearray(png)
    wrong[start + 4 + length] ^= 1
    assert np.array_equal(open_photo(bytes(wrong)).image, PIXELS)
    damaged = bytearray(png)
    damaged[start + 4 + length // 2] ^= 1
    with pytest.raises(PhotoError, match="get it once more"):
        open_photo(bytes(damaged))


@pytest.mark.parametrize("orientation", [1, 6])
def test_avif_with_damaged_exif(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    data = encoded("AVIF", exif=exif, quality=100)
    start = max(data.find(b"MM\0*"), data.find(b"II*\0"))
    assert start > 0
    for damage in (b"????", b"II*\0" + b"\xff" * 4):
        photo = open_photo(data[:start] + damage + data[start + len(damage) :])
        whole = open_photo(data)
        assert photo.exif_orientation == whole.exif_orientation == orientation
        assert np.array_equal(photo.image, whole.image)


EXIF_ENTRIES = {
    "a rational over zero": (0x011A, 10, 1, struct.pack(">ll", -5, 0)),
    "a rational that points nowhere": (0x011A, 5, 1, None),
    "an unknown type": (0x9999, 99, 1, b"abcd"),
    "a long text without an end": (0x010F, 2, 1 << 30, None),
    "a directory that points nowhere": (0x8769, 4, 1, struct.pack(">L", 0xFFFFFFF0)),
    "a directory of itself": (0x8769, 4, 1, struct.pack(">L", 8)),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("name", EXIF_ENTRIES)
def test_orientation_counts_beside_odd_entries(name: str, kind: str) -> None:
    tag, form, count, value = EXIF_ENTRIES[name]
    start = 8 + 2 + 2 * 12 + 4
    inline = value if value is not None and len(value) <= 4 else struct.pack(">L", start if value else 1 << 20)
    exif = b"Exif\0\0MM\0*" + struct.pack(">LH", 8, 2)
    exif += struct.pack(">HHLHH", 0x0112, 3, 1, 6, 0) + struct.pack(">HHL4s", tag, form, count, inline)
    exif += bytes(4) + (value or b"")
    photo = open_photo(encoded(kind, exif=exif))
    assert photo.exif_orientation == 6 and photo.size == (12, 20)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientations_that_make_no_sense(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    photo = open_photo(encoded("PNG", exif=exif))
    assert photo.exif_orientation == 1 and photo.size == (20, 12)


# files that are none


def test_pipes_devices_broken_links_and_odd_names_are_rows(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.png").symlink_to("nowhere.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    odd = tmp_path / os.fsdecode(b"\xff\xe4.png")
    odd.write_bytes(encoded("PNG"))
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(1 << 40)
    start = time.monotonic()
    photos, crops = align_photos(find_photos([tmp_path]), tmp_path, AlignOptions(recipe="center", resolution=8), None)
    assert time.monotonic() - start < 10
    reasons = {row["path"]: row["reason"] for row in photos}
    assert reasons["pipe.jpg"] == "pipe.jpg: cannot be read: not a regular file"
    assert reasons["zero.png"] == "zero.png: cannot be read: not a regular file"
    assert reasons["link.png"] == "link.png: cannot be read: No such file or directory"
    assert "more than a picture may have" in reasons["sparse.jpg"]
    assert reasons["\\udcff\\udce4.png"] == "" and len(crops) == 1
    for name in ("pipe.jpg", "zero.png"):
        with pytest.raises(PhotoError, match="not a regular file"):
            open_photo(tmp_path / name)


def test_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    monkeypatch.setattr(listing, "MAX_BYTES", 10)
    with pytest.raises(PhotoError, match="more than a picture may have"):
        open_photo(tmp_path / "a.png")


def test_pictures_that_do_not_fit_into_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 20 * 12 * decode.PIXEL_BYTES
    for free, fits in ((needed, True), (needed - 1, False), (0, True)):  # 0: unknown
        monkeypatch.setattr(decode, "free_memory", lambda free=free: free)
        if fits:
            assert open_photo(encoded("JPEG")).size == (20, 12)
        else:
            with pytest.raises(TooLargeError, match=r"20 x 12 px need about 0\.0 GB of memory, and 0\.0 GB are free"):
                open_photo(encoded("JPEG"))


def test_memory_that_runs_out_while_aligning_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ganvert.faces.pipeline.align", fail)
    row, crops = align_photo(encoded("PNG"), "a.png", AlignOptions(recipe="center", resolution=8), None)
    assert row["status"] == "too_large" and not crops
    monkeypatch.setattr("ganvert.faces.photo.on_white", fail)
    with pytest.raises(TooLargeError, match="more memory than there is"):
        open_photo(encoded("JPEG"))


def test_memory_that_runs_out_is_the_photographs_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(TooLargeError, match="more memory than there is"):
        open_photo(encoded("JPEG"))
