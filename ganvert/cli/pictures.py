"""Pictures as files: single ones, sheets, strips and animations. All are written whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganvert.base.errors import ParamsError
from ganvert.cli.video import MP4, write_video

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ANIMATIONS", "MOST_PX", "check_sheet", "write_picture", "write_series", "write_sheet"]

#: How names of animations end.
ANIMATIONS = (".gif", MP4)

#: Largest side of a picture on a sheet.
MOST_PX = 8192
_MOST_PIXELS = 1 << 27  # of a sheet or an animation, whose pixels are in memory at once: 0.4 GB of them
_FRAME_MS = 250  # time that a picture of an animation stays


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
    from ganvert.images import on_white

    frames = []
    for picture in pictures:
        frame = on_white(picture)
        frame.thumbnail((px, px))
        frames.append(frame)
    frames += frames[-2:0:-1]
    if path.suffix.lower() == MP4:
        write_video(path, frames, _FRAME_MS)
        return
    with atomic_path(path) as temporary:
        frames[0].save(temporary, "GIF", save_all=True, append_images=frames[1:], duration=_FRAME_MS, loop=0)
