"""Conversion between images of pixels and tensors in [-1, 1], resizing, PNG bytes."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from ganvert.base.errors import ShapeError, TableError, UnsupportedError
from ganvert.base.texts import shortened

__all__ = [
    "area_resize",
    "as_drawn",
    "as_rgb",
    "contact_sheet",
    "difference_map",
    "from_bytes",
    "from_pil",
    "from_png",
    "on_white",
    "to_pil",
    "to_png",
]

_LINE = 18  # height of a line of a caption [px]
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's mode L


def from_pil(images: Sequence[Image.Image]) -> Tensor:
    """Convert RGB images of one size to float32 [N, 3, h, w] in [-1, 1]."""
    arrays = np.stack([np.asarray(image.convert("RGB")) for image in images])
    return from_bytes(arrays).contiguous()


def from_bytes(pixels: np.ndarray) -> Tensor:
    """Convert uint8 [N, h, w, 3] to float32 [N, 3, h, w] in [-1, 1]."""
    # 127.5, not 128: 0 and 255 become exactly -1 and 1, as in the StyleGAN codes.
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def to_pil(images: Tensor) -> list[Image.Image]:
    """Convert [N, 1 or 3, h, w], nominally in [-1, 1] and clamped here, to RGB images.

    Raises:
        ShapeError: another shape.
        UnsupportedError: numbers that are not finite, which would become black pixels.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ShapeError(f"images: wanted [N, 1 or 3, h, w], got {list(images.shape)}")
    if not images.isfinite().all():
        raise UnsupportedError(
            "images: wanted finite numbers, got others: the generator cannot draw this code; take smaller amounts, or "
            "other weights"
        )
    pixels = images.detach().float().mul(127.5).add(127.5).round().clamp(0, 255).to(torch.uint8).cpu()
    return [Image.fromarray(pixel.expand(3, -1, -1).permute(1, 2, 0).numpy()) for pixel in pixels]


def as_rgb(images: Tensor) -> Tensor:
    """Convert [N, 1 or 3, h, w] to [N, 3, h, w]; grey becomes three equal channels."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ShapeError(f"images: wanted [N, 1 or 3, h, w], got {list(images.shape)}")
    return images.expand(-1, 3, -1, -1)


def as_drawn(images: Tensor, channels: int, size: int) -> Tensor:
    """Convert RGB images to the resolution and the colours that a generator can draw.

    Args:
        images: RGB [N, 3, h, w].
        channels: of the generator: 3, or 1 for grey.
        size: of the generator [px].

    Returns:
        [N, 3, size, size]; for a grey generator the luminance in three equal channels.

    Raises:
        UnsupportedError: another number of channels.
    """
    if channels not in (1, 3):
        raise UnsupportedError(f"images of {channels} channels: only generators of RGB (3) or grey (1) are supported")
    resized = area_resize(images, size)
    if channels == 3:
        return resized
    weights = torch.tensor(_LUMINANCE, dtype=images.dtype, device=images.device)
    return as_rgb(torch.einsum("nchw,c->nhw", resized, weights).unsqueeze(1))


def to_png(image: Image.Image, texts: Mapping[str, str] | None = None) -> bytes:
    """Return the PNG bytes of an image, which say that its colours are sRGB; equal pixels give equal bytes.

    Args:
        image: of a mode that PNG has.
        texts: keyword (ASCII, of 79 characters at most) to text, which the file carries along.
    """
    buffer, chunks = io.BytesIO(), PngImagePlugin.PngInfo()
    chunks.add(b"sRGB", b"\0")  # rendering intent: perceptual
    for keyword, text in (texts or {}).items():
        chunks.add_itxt(keyword, text)
    # Pillow would write the profile of the file that the image was read from.
    image.save(buffer, "PNG", compress_level=3, pnginfo=chunks, icc_profile=None)
    return buffer.getvalue()


def from_png(data: bytes) -> Image.Image:
    """Return the RGB image in the bytes of an image file that ganvert wrote.

    Raises:
        TableError: they are not a PNG or JPEG file, or it is damaged.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as file:
            return on_white(file)
    except Exception as error:  # decoders raise all kinds of errors for damaged files
        raise TableError(f"a picture of a table cannot be read ({error}); make the table again") from error


def on_white(image: Image.Image) -> Image.Image:
    """Return the image as RGB, with white behind transparent pixels."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def difference_map(first: Image.Image, second: Image.Image, full: int = 64) -> Image.Image:
    """Return where two pictures of one size differ: black where they are equal, over red and yellow to white.

    Args:
        first: a picture.
        second: another one.
        full: mean difference of a pixel's channels that is white [grey levels of 255].
    """
    pixels = [np.asarray(picture.convert("RGB"), dtype=np.float32) for picture in (first, second)]
    share = np.abs(pixels[0] - pixels[1]).mean(axis=2) / full
    ramp = np.clip(3 * share[..., None] - np.arange(3), 0, 1)
    return Image.fromarray(np.round(255 * ramp).astype(np.uint8))


def area_resize(images: Tensor, size: int) -> Tensor:
    """Resize [N, C, h, w] to size x size: exact area average when shrinking, bicubic (antialiased) when enlarging.

    An area average is the integral over the part of the image that a new pixel covers: pixels that it covers in part
    count by that part. One side that is too short makes it an enlargement.
    """
    height, width = images.shape[2:]
    if height == width == size:
        return images
    if height % size == 0 and width % size == 0:
        return F.avg_pool2d(images, (height // size, width // size))
    if size <= min(height, width):
        rows, columns = (_area_weights(length, size).to(images) for length in (height, width))
        # Not adaptive pooling, whose bins overlap where the factor is not whole. Autocast would round the weights.
        with torch.autocast(images.device.type, enabled=False):
            return rows @ images @ columns.T
    return F.interpolate(images, size=(size, size), mode="bicubic", align_corners=False, antialias=True)


@functools.lru_cache(maxsize=64)
def _area_weights(length: int, size: int) -> Tensor:
    """Return the share of each of `length` pixels in each of `size` new ones, float64 [size, length]; rows sum to 1."""
    # In units of 1 / size of a pixel all borders are whole numbers: old pixels are `size` wide, new ones `length`.
    new, old = torch.arange(size)[:, None] * length, torch.arange(length) * size
    overlap = torch.minimum(new + length, old + size) - torch.maximum(new, old)
    return overlap.clamp(min=0).double() / length


def contact_sheet(
    pictures: Sequence[Image.Image], columns: int, size: int, captions: Sequence[str] | None = None
) -> Image.Image:
    """Arrange pictures in a grid, each fitted into size x size, with optional captions below.

    A caption may have several lines; one that is wider than its picture is shortened in the middle.
    """
    rows = max(math.ceil(len(pictures) / columns), 1)
    line = 4 + _LINE * max(caption.count("\n") + 1 for caption in captions) if captions else 0
    sheet = Image.new("RGB", (columns * (size + 4) + 4, rows * (size + 4 + line) + 4), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for i, picture in enumerate(pictures):
        x, y = 4 + (i % columns) * (size + 4), 4 + (i // columns) * (size + 4 + line)
        small = picture.convert("RGB")
        small.thumbnail((size, size), Image.Resampling.LANCZOS)
        sheet.paste(small, (x + (size - small.width) // 2, y + (size - small.height) // 2))
        if captions and i < len(captions):
            for j, text in enumerate(captions[i].split("\n")):
                place = (x + size / 2, y + size + 2 + j * _LINE)
                draw.text(place, shortened(text, size, font.getlength), fill="black", font=font, anchor="ma")
    return sheet
