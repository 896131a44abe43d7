"""From the bytes of an image file to its pixels: a closed list of formats, and metadata that cannot stop it."""

from __future__ import annotations

import dataclasses
import io
import itertools
import struct
import warnings
from collections.abc import Iterator
from typing import IO, Any

from PIL import ExifTags, Image, TiffImagePlugin

from ganvert.base.errors import PhotoError
from ganvert.compute.memory import free_memory
from ganvert.faces.declared import declared_profile
from ganvert.faces.mend import mend

__all__ = ["FORMATS", "Decoded", "TooLargeError", "decode", "is_image"]

#: Pillow's names of the raster formats that are read, known by content. All others are refused: Pillow starts
#: Ghostscript on PostScript, and its rarely used readers are those that attackers look for.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "JPEG2000", "PPM")
PIXEL_BYTES = 32  # memory that a pixel takes at most from file to sRGB, rounded up: RGBA has several copies
MAX_PAGES = 1000  # of a TIFF that are looked through for the largest one

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What a file is that is refused, by its first bytes; `ftyp` boxes name their brand at byte 8.
_KINDS = [
    (0, b"%!PS", "a PostScript file"),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (4, b"JXL ", "a JPEG XL picture"),
    (8, b"crx", "a raw file of a camera"),
    (0, b"FUJIFILMCCD-RAW", "a raw file of a camera"),
    *((8, brand, "a HEIC picture") for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")),
    *((8, brand, "a damaged AVIF picture") for brand in (b"avif", b"avis")),
    (4, b"ftyp", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"version https://git-lfs", "a Git LFS pointer and not the picture (run git lfs pull)"),
    (0, b"<svg", "a drawing (SVG)"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<html", "a web page"),
    (0, b"PK\3\4", "a zip archive"),
]


class TooLargeError(PhotoError):
    """The photograph has more pixels than allowed (or is a decompression bomb)."""

    status = "too_large"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoded:
    """The pixels of a file.

    Attributes:
        image: upright, in a mode of Pillow.
        orientation: EXIF's, 1 to 8, as stored in the file; 1 where it stores none.
        profile: the embedded ICC profile, whatever its state, or that of the colour space that the file names.
    """

    image: Image.Image
    orientation: int
    profile: bytes | None


def decode(data: bytes, max_pixels: int, name: str) -> Decoded:
    """Decode an image file.

    Of an animation the first frame is decoded, of a TIFF the largest page. Metadata that cannot be read are ignored.

    Args:
        data: the file's bytes.
        max_pixels: limit of width x height in the header, checked before anything is decoded.
        name: what error messages call it.

    Raises:
        TooLargeError: too many pixels, by `max_pixels`, Pillow's own limit or this machine's memory.
        PhotoError: the file is of another format, cannot be decoded, or is cut short.
    """
    try:
        return _decoded(data, max_pixels, name)
    except PhotoError:
        raise
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"{name}: more pixels than any photograph has; save a smaller copy") from error
    except MemoryError as error:
        raise TooLargeError(f"{name}: decoding it needs more memory than there is; save a smaller copy") from error
    except Exception as error:  # decoders raise all kinds of errors for damaged files
        if (mended := mend(data)) is not None:
            decoded = decode(mended.data, max_pixels, name)
            return dataclasses.replace(decoded, profile=mended.profile or decoded.profile)
        if isinstance(error, Image.UnidentifiedImageError):
            raise PhotoError(f"{name}: {_kind(data)}; convert it to JPEG or PNG") from error
        raise PhotoError(f"{name}: cannot be read or decoded: {error}; get it once more") from error


def is_image(data: IO[bytes]) -> bool:
    """Return whether an open file begins like an image of :data:`FORMATS`; reads the header only."""
    try:
        with _quiet(), Image.open(data, formats=FORMATS):
            return True
    except Exception:  # as in `decode`: decoders raise all kinds of errors
        return False


def _decoded(data: bytes, max_pixels: int, name: str) -> Decoded:
    with _quiet(), Image.open(io.BytesIO(data), formats=FORMATS) as file:
        _choose_frame(file, name)
        _check_pixels(file, max_pixels, name)
        profile = file.info.get("icc_profile")
        if file.format == "TIFF":
            orientation = _orientation(file, data)
            file.load()  # Pillow turns a TIFF as it loads it
            return Decoded(image=file, orientation=orientation, profile=profile)
        file.load()  # before the metadata, for which Pillow loads a PNG: a second load hides what the first raised
        orientation = _orientation(file, data)
        image: Image.Image = file.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else file
        return Decoded(image=image, orientation=orientation, profile=profile or declared_profile(file))


def _check_pixels(file: Image.Image, max_pixels: int, name: str) -> None:
    """Raise TooLargeError unless the picture is within the limit, and what reading it takes within the free memory."""
    pixels = file.width * file.height
    what = f"{name}: {file.width} x {file.height} px"
    if pixels > max_pixels:
        raise TooLargeError(f"{what} are {pixels} pixels, and at most {max_pixels} are read; save a smaller copy")
    # Asked for before decoding: Linux ends the process that takes more than there is, and its other photographs' work.
    free, needed = free_memory(), pixels * PIXEL_BYTES
    if 0 < free < needed:
        raise TooLargeError(
            f"{what} need about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; save a smaller copy"
        )


def _quiet() -> warnings.catch_warnings[Any]:
    """Silence Pillow's warnings of large images, which `max_pixels` decides on, and of oddities in metadata."""
    return warnings.catch_warnings(action="ignore")


def _choose_frame(file: Image.Image, name: str) -> None:
    """Go to the frame that is the photograph: the largest page of a TIFF, the first frame of an animation."""
    if isinstance(file, TiffImagePlugin.TiffImageFile):
        pages = list(itertools.islice(_page_sizes(file), MAX_PAGES))
        largest = max(range(len(pages)), key=lambda i: pages[i])  # the first of equal ones
        file.seek(largest)
        # A thumbnail (NewSubfileType, bit 0) with the picture proper in a SubIFD: DNG, NEF and other raw files.
        if 330 in file.tag_v2 and file.tag_v2.get(254, 0) == 1:
            raise PhotoError(f"{name}: a raw file of a camera, of which only the preview can be read; develop it first")
    elif file.info.get("default_image"):  # an APNG whose first picture is shown by programs that cannot animate only
        file.seek(1)


def _page_sizes(file: TiffImagePlugin.TiffImageFile) -> Iterator[int]:
    """Yield the number of pixels of every page; ends at the first page that cannot be read, which is not the first."""
    yield file.width * file.height
    for page in itertools.count(1):
        try:
            file.seek(page)
        except Exception:  # the end of the file, or a damaged page; both have several types
            return
        yield file.width * file.height


def _orientation(file: Image.Image, data: bytes) -> int:
    """Return the EXIF (or XMP) orientation, 1 to 8; 1 if there is none that makes sense."""
    try:
        value = file.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # odd metadata make Pillow raise all kinds of errors
        value = _orientation_of_first_ifd(data)
    if isinstance(value, tuple) and value:
        value = value[0]
    return int(value) if isinstance(value, int | float) and value in range(1, 9) else 1


def _orientation_of_first_ifd(data: bytes) -> int:
    """Return the orientation by EXIF's first directory alone, where something else in EXIF cannot be read; else 1."""
    start = data.find(b"Exif\0\0") + 6
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[start : start + 4])
    if start < 6 or order is None:
        return 1
    try:
        offset = start + struct.unpack_from(f"{order}L", data, start + 4)[0]
        (count,) = struct.unpack_from(f"{order}H", data, offset)
        for entry in range(offset + 2, offset + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHLH", data, entry)
            if tag == ExifTags.Base.Orientation and kind == 3:  # one SHORT, stored in the entry itself
                return int(value)
    except struct.error:  # beyond the end
        pass
    return 1


def _kind(data: bytes) -> str:
    """Return what a file is that is not an image of :data:`FORMATS`."""
    if not data:
        return "an empty file"
    for offset, start, kind in _KINDS:
        if data[offset : offset + len(start)] == start:
            return f"not an image that can be read, but {kind}"
    return "not an image that can be read"
