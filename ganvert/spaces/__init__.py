"""Latent spaces: one module per space, and feature maps, modulation and padding composed with them.

The package may import `assets` and what lies below.
"""

from __future__ import annotations

import re

from ganvert.base.errors import ParamsError
from ganvert.base.registry import lookup
from ganvert.generators.base import Generator
from ganvert.spaces.base import DetailInit, Motion, Move, Space, Variables, slots_of, to_device
from ganvert.spaces.feature import Feature, FeatureStyle
from ganvert.spaces.masked import Masked
from ganvert.spaces.modulated import Modulated
from ganvert.spaces.pad import Pad
from ganvert.spaces.pn import PN, PNPlus
from ganvert.spaces.styles import S
from ganvert.spaces.truncated import ZPlusPsi, ZPsi
from ganvert.spaces.w import W, WPlus
from ganvert.spaces.z import Z, ZPlus
from ganvert.spaces.zplusplus import ZPlusPlus

__all__ = [
    "SPACES",
    "DetailInit",
    "Motion",
    "Move",
    "Space",
    "Variables",
    "check_space",
    "make_space",
    "slots_of",
    "to_device",
]

#: name -> space
SPACES: dict[str, type[Space]] = {
    "z": Z,
    "zplus": ZPlus,
    "zplusplus": ZPlusPlus,
    "z_psi": ZPsi,
    "zplus_psi": ZPlusPsi,
    "w": W,
    "wplus": WPlus,
    "s": S,
    "pn": PN,
    "pnplus": PNPlus,
}

#: Letters of a prefix -> the space of one feature map.
_OF_ONE_MAP: dict[str, type[Feature | Modulated]] = {"f": Feature, "fs": FeatureStyle, "c": Modulated}


def _split(name: str) -> tuple[str, type[Space]]:
    """Return the prefix of a composed space ("pad", "f16", "c64", "m16-128", "" for a plain one), and the detail."""
    prefix, _, detail = name.rpartition("/")
    if not re.fullmatch(r"((fs?|c)[1-9]\d{0,3}|m[1-9]\d{0,3}-[1-9]\d{0,3}|pad)?", prefix) or name.startswith("/"):
        raise ParamsError(
            f"space {name!r}: wanted fSIZE/DETAIL or fsSIZE/DETAIL such as f16/zplus, SIZE the pixels of the feature "
            "map, cSIZE/DETAIL such as c64/wplus, mSIZE-SIZE/DETAIL such as m16-128/wplus, or pad/DETAIL"
        )
    return prefix, lookup(SPACES, detail, "space")


def check_space(name: str) -> None:
    """Raise UnknownNameError or ParamsError unless `name` is a space, or one of these behind a prefix."""
    _split(name)


def make_space(name: str, generator: Generator) -> Space:
    """Make a space of a generator.

    Args:
        name: a name in :data:`SPACES`, such as ``wplus``; ``f16/zplus`` for a 16 px feature map over Z+; ``fs16/wplus``
            for a feature map that directions move (:class:`ganvert.spaces.feature.FeatureStyle`); ``c64/wplus`` for a
            scale and a shift of the map of 64 px; ``m16-128/wplus`` for masked differences of the maps of 16 to 128 px;
            ``pad/wplus`` for padding.
        generator: the generator whose codes the space describes.

    Raises:
        UnknownNameError, ParamsError: no such space.
        UnsupportedError: the generator lacks what the space needs.
    """
    prefix, detail = _split(name)
    if not prefix:
        return detail(generator)
    if prefix == "pad":
        return Pad(generator, detail)
    if prefix.startswith("m"):
        smallest, largest = map(int, prefix.removeprefix("m").split("-"))
        return Masked(generator, smallest, largest, detail)
    letters = prefix.rstrip("0123456789")
    return _OF_ONE_MAP[letters](generator, int(prefix.removeprefix(letters)), detail)
