"""Latent spaces by name, and features composed with them."""

from __future__ import annotations

import re

from ganvert.errors import ParamsError
from ganvert.generators.base import Generator
from ganvert.registry import lookup
from ganvert.spaces.base import DetailInit, Move, Space, Variables
from ganvert.spaces.feature import Feature
from ganvert.spaces.pn import PN, PNPlus
from ganvert.spaces.styles import S
from ganvert.spaces.w import W, WPlus
from ganvert.spaces.z import Z, ZPlus

__all__ = ["SPACES", "DetailInit", "Move", "Space", "Variables", "check_space", "make_space"]

SPACES: dict[str, type[Space]] = {
    "z": Z,
    "zplus": ZPlus,
    "w": W,
    "wplus": WPlus,
    "s": S,
    "pn": PN,
    "pnplus": PNPlus,
}


def _split(name: str) -> tuple[int, str]:
    if "/" not in name:
        return 0, name
    feature, detail = name.split("/", 1)
    if not re.fullmatch(r"f[1-9]\d{0,3}", feature):
        raise ParamsError(f"space {name!r}: wanted fSIZE/DETAIL such as f16/zplus, SIZE the pixels of the feature map")
    return int(feature[1:]), detail


def check_space(name: str) -> None:
    """Raise UnknownNameError or ParamsError unless `name` is a space or ``fSIZE/SPACE``."""
    lookup(SPACES, _split(name)[1], "space")


def make_space(name: str, generator: Generator) -> Space:
    """A space of a generator: ``wplus``, or ``f16/zplus`` for a 16 px feature map over Z+.

    Raises:
        UnknownNameError, ParamsError: no such space.
        UnsupportedError: this generator lacks what it needs.
    """
    size, detail = _split(name)
    kind = lookup(SPACES, detail, "space")
    return Feature(generator, size, kind) if size else kind(generator)
