"""Pictures inside the page: shrunk, compressed and written as data: URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

__all__ = ["InlineImage", "inline_jpeg", "inline_png"]


@dataclass(frozen=True)
class InlineImage:
    """A picture for ``<img>``: data: URI and size in pixels."""

    uri: str
    width: int
    height: int


def inline_jpeg(image: Image.Image, longest: int, quality: int) -> InlineImage:
    """Return the picture as a JPEG of at most `longest` pixels a side, with `quality` 1 to 95."""
    small = image.convert("RGB")
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return _inline(buffer.getvalue(), "jpeg", small)


def inline_png(image: Image.Image) -> InlineImage:
    """Return the picture as a PNG of its own size: for plots, whose thin lines JPEG would smear."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG", optimize=True)
    return _inline(buffer.getvalue(), "png", image)


def _inline(data: bytes, kind: str, image: Image.Image) -> InlineImage:
    return InlineImage(f"data:image/{kind};base64,{base64.b64encode(data).decode()}", image.width, image.height)
