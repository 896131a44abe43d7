"""A series of pictures as an animation that goes there and back: GIF, or MP4 (H.264).

MP4 is encoded by FFmpeg's libraries, which PyAV's wheel brings along (the extra `video`).
"""

from __future__ import annotations

import fractions
import importlib.util
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ganvert.base.errors import ParamsError

if TYPE_CHECKING:  # the command line reads names of formats before torch is needed
    from PIL import Image

__all__ = ["ANIMATIONS", "GIF", "MP4", "animation", "can_write_video", "check_video"]

GIF, MP4 = ".gif", ".mp4"
#: How names of animations end.
ANIMATIONS = (GIF, MP4)
_FRAME_MS = 250  # time that a picture stays
_ROUNDS = 4  # players that do not repeat a video would show it for a moment only
_QUALITY = "18"  # x264's constant rate factor, at which losses are hardly seen


def can_write_video() -> bool:
    """Return whether there is an encoder for MP4."""
    return importlib.util.find_spec("av") is not None


def check_video(option: str) -> None:
    """Raise ParamsError where there is no encoder; `option` is what named the video."""
    if not can_write_video():
        raise ParamsError(
            f"{option}: .mp4 needs PyAV: pip install -c constraints.txt 'ganvert[video]', or name a .gif instead"
        )


def animation(pictures: Sequence[Image.Image], px: int, suffix: str) -> bytes:
    """Return the bytes of an animation that shows a series forward and backward, for ever.

    Args:
        pictures: of one size.
        px: longest side of its pictures; an MP4 loses its last row or column where sides are odd.
        suffix: of :data:`ANIMATIONS`.

    Raises:
        ParamsError: there is no encoder for .mp4.
    """
    from ganvert.images import on_white

    frames = []
    for picture in pictures:
        frame = on_white(picture)
        frame.thumbnail((px, px))
        frames.append(frame)
    frames += frames[-2:0:-1]
    buffer = io.BytesIO()
    if suffix == MP4:
        _write_video(buffer, frames)
    else:
        frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=_FRAME_MS, loop=0)
    return buffer.getvalue()


def _write_video(file: io.BytesIO, frames: Sequence[Image.Image]) -> None:
    """Write frames of one round as a video, a few rounds of them."""
    check_video(MP4)
    import av

    # Colours at half the resolution, which every player knows, take even sides.
    width, height = (side - side % 2 for side in frames[0].size)
    with av.open(file, "w", format="mp4") as video:
        stream = video.add_stream("libx264", rate=fractions.Fraction(1000, _FRAME_MS), options={"crf": _QUALITY})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in list(frames) * _ROUNDS:
            video.mux(stream.encode(av.VideoFrame.from_image(picture.crop((0, 0, width, height)))))
        video.mux(stream.encode())
