"""Animations as MP4: H.264, encoded by FFmpeg's libraries, which PyAV's wheel brings along (the extra `video`)."""

from __future__ import annotations

import fractions
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganvert.base.errors import ParamsError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MP4", "check_video", "write_video"]

MP4 = ".mp4"
_ROUNDS = 4  # players that do not repeat a video would show it for a moment only
_QUALITY = "18"  # x264's constant rate factor, at which losses are hardly seen


def check_video(option: str) -> None:
    """Raise ParamsError where there is no encoder; `option` is what named the video."""
    if importlib.util.find_spec("av") is None:
        raise ParamsError(
            f"{option}: .mp4 needs PyAV: pip install -c constraints.txt 'ganvert[video]', or name a .gif instead"
        )


def write_video(path: Path, frames: Sequence[Image.Image], frame_ms: int) -> None:
    """Write RGB pictures of one size as a video, a few rounds of them.

    Args:
        path: of the video; its last pixel row or column is cut off where the pictures' sides are odd.
        frames: of one round.
        frame_ms: how long each is seen [ms].

    Raises:
        ParamsError: there is no encoder.
    """
    check_video(str(path))
    import av

    from ganvert.base.files import atomic_path

    # Colours at half the resolution, which every player knows, take even sides.
    width, height = (side - side % 2 for side in frames[0].size)
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=fractions.Fraction(1000, frame_ms), options={"crf": _QUALITY})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in list(frames) * _ROUNDS:
            file.mux(stream.encode(av.VideoFrame.from_image(picture.crop((0, 0, width, height)))))
        file.mux(stream.encode())
