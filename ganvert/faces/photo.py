"""Reading of any photograph file as upright 8-bit sRGB, or a :class:`PhotoError` that says why not."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from ganvert.base.errors import PhotoError
from ganvert.faces.colour import to_srgb
from ganvert.faces.decode import TooLargeError, decode
from ganvert.faces.listing import read_regular
from ganvert.images import on_white

__all__ = ["Photo", "open_photo"]

_STRIP = 1 << 22  # pixels of 32-bit grey that are scaled at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photo:
    """One photograph, ready to use.

    Attributes:
        image: RGB, upright, sRGB, white behind transparent pixels; carries no metadata.
        original: the same with what edits must keep: RGBA or LA with the file's transparency and the colours below it,
            L if the file is grey.
        photo_id: sha256 of the file's bytes, hex.
        exif_orientation: 1 to 8 as stored in the file; 1 when it stores none.
        mode: Pillow's mode of the file.
    """

    image: Image.Image
    original: Image.Image
    photo_id: str
    exif_orientation: int
    mode: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height after orientation [px]."""
        return self.image.size


def open_photo(source: Path | bytes, max_pixels: int = 100_000_000, name: str = "") -> Photo:
    """Read a photograph of any mode.

    The formats are those of :data:`ganvert.faces.decode.FORMATS`, by content. EXIF orientation is applied, colours are
    converted to sRGB by the file's ICC profile, transparent pixels become white; of an animation the first frame is
    read, of a TIFF the largest page. Metadata that cannot be read are ignored. Deep grey is scaled, not clipped, by
    :func:`_eight_bits`.

    Args:
        source: the file, or its bytes.
        max_pixels: limit of width x height in the header, checked before anything is decoded.
        name: what error messages call it; by default the file's path.

    Raises:
        TooLargeError: too many pixels, by `max_pixels`, Pillow's own limit or this machine's memory.
        PhotoError: the file cannot be read or decoded, or is cut short.
    """
    name = name or ("photograph" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else _bytes_of(source, name)
    decoded = decode(data, max_pixels, name)
    mode = decoded.image.mode
    try:
        original = _original(decoded.image, decoded.profile)
        image = on_white(original)
    except MemoryError as error:
        raise TooLargeError(f"{name}: converting it needs more memory than there is; save a smaller copy") from error
    except (ValueError, OSError) as error:  # Pillow has no conversion to RGB
        raise PhotoError(f"{name}: mode {mode} cannot be shown in RGB; convert it to JPEG or PNG") from error
    return Photo(
        image=image,
        original=original,
        photo_id=hashlib.sha256(data).hexdigest(),
        exif_orientation=decoded.orientation,
        mode=mode,
    )


def _bytes_of(path: Path, name: str) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise PhotoError(f"{name}: cannot be read: {error.strerror}") from error
    except PhotoError as error:
        raise PhotoError(f"{name}: cannot be read: {error}") from error


def _original(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an image of 8 bits a channel in sRGB: L or RGB, with A if it has transparency."""
    alpha = None
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    elif image.has_transparency_data:
        grey = image.mode in ("L", "LA")
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("L" if grey else "RGB")
    image = to_srgb(image, profile)
    if image.mode == "RGB" and _is_grey(image):
        image = image.convert("L")
    image.info = {}  # the profile is applied, and metadata such as places stay where they are
    if alpha is not None:
        image.putalpha(alpha)
    return image


def _is_grey(image: Image.Image) -> bool:
    """Return whether the three channels are equal everywhere."""
    first, *others = (channel.tobytes() for channel in image.split())
    return all(other == first for other in others)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Scale grey values to uint8 by the first range that holds them all.

    Integers have the range 0 to 255, 4095 or 65535: cameras store 12 bits in the lower part of 16. For floats 0 to 1 is
    tried before 0 to 255 and 0 to 65535. Others are scaled from smallest to largest value. Numbers that are not finite
    become 0.

    Args:
        values: [h, w] of any number type.
    """
    rows = max(_STRIP // max(values.shape[1], 1), 1)
    strips = [values[start : start + rows] for start in range(0, len(values), rows)]  # views

    def finite(strip: np.ndarray) -> np.ndarray:
        return np.nan_to_num(strip.astype(np.float64), nan=0, posinf=0, neginf=0)

    low = min(float(finite(strip).min()) for strip in strips)
    high = max(float(finite(strip).max()) for strip in strips)
    tops = [1.0, 255.0, 65535.0] if values.dtype.kind == "f" else [255.0, 4095.0, 65535.0]
    top = next((top for top in tops if low >= 0 and high <= top), None)
    if top is None:
        offset, top = low, (high - low) or 1.0
    else:
        offset = 0.0
    scaled = np.empty(values.shape, np.uint8)
    for i, strip in enumerate(strips):
        scaled[i * rows : i * rows + len(strip)] = np.rint((finite(strip) - offset) * (255 / top))
    return scaled
