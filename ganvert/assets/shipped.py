"""Files that come with ganvert, in `ganvert/weights`."""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped"]


def shipped(name: str) -> Path:
    """Return the path of a file that comes with ganvert, such as ``"wplus_ffhq.safetensors"``."""
    return Path(__file__).parents[1] / "weights" / name
