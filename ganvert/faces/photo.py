"""Reading of any photograph file as upright 8-bit RGB, or a :class:`PhotoError` that says why not."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ganvert.base.errors import InputError, PhotoError
from ganvert.base.files import sha256_of

__all__ = ["SUFFIXES", "Photo", "TooLargeError", "find_photos", "is_photo_name", "open_photo", "walk_photos"]

log = logging.getLogger(__name__)

# HEIC is in the list although Pillow cannot read it without a plugin: such a photo becomes a row that says so.
SUFFIXES = frozenset(
    [
        *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg"),
        *(".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    ]
)
BACKGROUND = "white"  # behind transparent pixels


class TooLargeError(PhotoError):
    """The photograph has more pixels than allowed (or is a decompression bomb)."""

    status = "too_large"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photo:
    """One photograph, ready to use."""

    image: Image.Image  # RGB, upright
    photo_id: str  # sha256 of the file's bytes, hex
    exif_orientation: int  # 1 to 8 as stored in the file; 1 when it stores none
    mode: str  # Pillow's mode of the file

    @property
    def size(self) -> tuple[int, int]:
        """Width and height after orientation [px]."""
        return self.image.size


def open_photo(source: Path | bytes, max_pixels: int = 100_000_000, name: str = "") -> Photo:
    """Read a photograph of any mode.

    EXIF orientation is applied, transparent pixels become white, and of an animation only the first frame is read.
    16-bit grey is scaled, not clipped; 32-bit integers and floats are scaled by :func:`_eight_bits`. CMYK is converted
    as Pillow does (Adobe's inverted files included), without colour profiles.

    Args:
        source: the file, or its bytes.
        max_pixels: limit of width x height in the header, checked before anything is decoded.
        name: what error messages call it; by default the file's path.

    Raises:
        TooLargeError: too many pixels, by `max_pixels` or by Pillow's own limit against decompression bombs.
        PhotoError: the file cannot be read or decoded, or is cut short.
    """
    name = name or ("photograph" if isinstance(source, bytes) else str(source))
    try:
        photo_id = hashlib.sha256(source).hexdigest() if isinstance(source, bytes) else sha256_of(source)
        with warnings.catch_warnings():
            # Pillow warns of large images, which `max_pixels` decides on, and of harmless oddities in metadata.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
                if file.width * file.height > max_pixels:
                    raise TooLargeError(
                        f"{name}: {file.width} x {file.height} px are more than max_pixels = {max_pixels}; "
                        "shrink the photo or raise align.max_pixels"
                    )
                orientation, mode = _orientation(file), file.mode
                file.load()
                upright = ImageOps.exif_transpose(file)
    except TooLargeError:
        raise
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"{name}: {error}") from error
    except UnidentifiedImageError as error:
        raise PhotoError(f"{name}: not an image that can be read; convert it to JPEG or PNG") from error
    except Exception as error:  # decoders raise all kinds of errors for damaged files
        raise PhotoError(f"{name}: cannot be read or decoded: {error}") from error
    try:
        image = _rgb(upright)
    except ValueError as error:  # Pillow has no conversion to RGB, for example from LAB
        raise PhotoError(f"{name}: mode {mode} cannot be shown in RGB; convert it to JPEG or PNG") from error
    return Photo(image=image, photo_id=photo_id, exif_orientation=orientation, mode=mode)


def find_photos(folders: Iterable[Path]) -> list[Path]:
    """Return all image files below the folders, sorted; hidden files and folders are skipped.

    Args:
        folders: folders (searched to any depth) or single files.

    Raises:
        InputError: a folder is missing or unreadable, or none of them holds a photo.
    """
    folders = [Path(folder) for folder in folders]
    photos: set[Path] = set()
    for folder in folders:
        if folder.is_file():
            photos.add(folder)
        elif not folder.is_dir():
            raise InputError(f"{folder}: there is no such photo folder; create it or correct align.photos")
        else:
            photos.update(map(Path, walk_photos(folder)))
    if not photos:
        where = ", ".join(map(str, folders)) or "no folder given"
        raise InputError(f"no photos in {where}; put some there (known endings: {' '.join(sorted(SUFFIXES))})")
    return sorted(photos)


def is_photo_name(name: str) -> bool:
    """Return whether the file name ends in one of `SUFFIXES`, in either case."""
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 (for millions of names)


def walk_photos(folder: Path | str) -> Iterator[str]:
    """Yield the paths of the image files below a folder in arbitrary order; hidden ones are skipped.

    Links to files count; links to folders are not followed, so that loops of links do no harm.

    Raises:
        InputError: a folder cannot be read.
    """
    folders = [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif is_photo_name(entry.name) and not (entry.is_symlink() and Path(entry.path).is_dir()):
                        yield entry.path
        except OSError as error:
            raise InputError(f"{error.filename}: the photo folder cannot be read: {error.strerror}") from error


def _orientation(file: Image.Image) -> int:
    value = file.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, BACKGROUND)
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Scale grey values to uint8 by the first range that holds them all.

    16-bit integers have the range 0 to 65535. The range of 32-bit integers and floats is not known: 0 to 1 and 0 to 255
    are tried for floats, then 0 to 65535, and finally smallest to largest value. Numbers that are not finite become 0.
    """
    kind = values.dtype
    values = np.nan_to_num(values.astype(np.float64), nan=0, posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    tops = [1.0, 255.0, 65535.0] if kind.kind == "f" else [65535.0]
    top = next((top for top in tops if low >= 0 and high <= top), None)
    if top is None:
        values, top = values - low, (high - low) or 1.0
    return np.rint(values * (255 / top)).astype(np.uint8)
