"""Latent spaces by name."""

from __future__ import annotations

from ganvert.spaces.base import Space, Variables
from ganvert.spaces.w import W, WPlus
from ganvert.spaces.z import Z, ZPlus

__all__ = ["SPACES", "Space", "Variables"]

SPACES: dict[str, type[Space]] = {"z": Z, "zplus": ZPlus, "w": W, "wplus": WPlus}
