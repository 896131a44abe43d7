"""Pictures as files: single ones, sheets, strips and animations. All are written whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganvert.base.errors import ParamsError
from ganvert.editing.animation import ANIMATIONS

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MOST_PX", "check_sheet", "write_picture", "write_series", "write_sheet"]

#: Largest side of a picture on a sheet.
MOST_PX = 8192
_MOST_PIXELS = 1 << 27  # of a sheet or an animation, whose pixels are in memory at once: 0.4 GB of them


def check_sheet(cells: int, px: int) -> None:
    """Raise ParamsError, before the pictures are drawn, for a sheet or animation that is too large to be written."""
    if cells * px**2 > _MOST_PIXELS:
        most = math.isqrt(_MOST_PIXELS // cells)
        remedy = f"choose --px {most} or less" if most >= 16 else "draw fewer pictures"
        raise ParamsError(f"--px: {cells} pictures of {px} px are too many for one file; {remedy}")


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a picture as PNG."""
    from ganvert.base.files import atomic_path
    from ganvert.images import to_png

    with atomic_path(path) as temporary:
        temporary.write_bytes(to_png(picture))


def write_sheet(
    path: Path, pictures: Sequence[Image.Image], columns: int, px: int, captions: Sequence[str] | None = None
) -> None:
    """Write pictures of `px` a side in rows of `columns`, with captions, as PNG."""
    from ganvert.images import contact_sheet

    write_picture(path, contact_sheet(pictures, columns, px, captions))


def write_series(path: Path, pictures: Sequence[Image.Image], px: int, captions: Sequence[str]) -> None:
    """Write pictures of a series: as an animation that goes there and back (.gif, .mp4), else as a strip with captions.

    Raises:
        ParamsError: there is no encoder for .mp4.
    """
    if path.suffix.lower() not in ANIMATIONS:
        write_sheet(path, pictures, len(pictures), px, captions)
        return
    from ganvert.base.files import atomic_path
    from ganvert.editing.animation import animation

    data = animation(pictures, px, path.suffix.lower())
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
