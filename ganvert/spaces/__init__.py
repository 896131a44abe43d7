"""Latent spaces by name, and features and padding composed with them.

The package may import `assets` and what lies below.
"""

from __future__ import annotations

import re

from ganvert.base.errors import ParamsError
from ganvert.base.registry import lookup
from ganvert.generators.base import Generator
from ganvert.spaces.base import DetailInit, Motion, Move, Space, Variables, to_device
from ganvert.spaces.feature import Feature, FeatureStyle
from ganvert.spaces.pad import Pad
from ganvert.spaces.pn import PN, PNPlus
from ganvert.spaces.styles import S
from ganvert.spaces.truncated import ZPlusPsi, ZPsi
from ganvert.spaces.w import W, WPlus
from ganvert.spaces.z import Z, ZPlus
from ganvert.spaces.zplusplus import ZPlusPlus

__all__ = ["SPACES", "DetailInit", "Motion", "Move", "Space", "Variables", "check_space", "make_space", "to_device"]

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


def _split(name: str) -> tuple[str, type[Space]]:
    """What stands over the detail space ("" for nothing, "pad", "f16", "fs16"), and the detail space."""
    over, _, detail = name.rpartition("/")
    if not re.fullmatch(r"(fs?[1-9]\d{0,3}|pad)?", over) or name.startswith("/"):
        raise ParamsError(
            f"space {name!r}: wanted fSIZE/DETAIL or fsSIZE/DETAIL such as f16/zplus, SIZE the pixels of the feature "
            "map, or pad/DETAIL"
        )
    return over, lookup(SPACES, detail, "space")


def check_space(name: str) -> None:
    """Raise UnknownNameError or ParamsError unless `name` is a space or fSIZE/SPACE, fsSIZE/SPACE or pad/SPACE."""
    _split(name)


def make_space(name: str, generator: Generator) -> Space:
    """A space of a generator: ``wplus``, ``f16/zplus`` for a 16 px feature map over Z+, ``pad/wplus`` for padding.

    ``fs16/wplus`` is a feature map that directions move (:class:`ganvert.spaces.feature.FeatureStyle`).

    Raises:
        UnknownNameError, ParamsError: no such space.
        UnsupportedError: this generator lacks what it needs.
    """
    over, detail = _split(name)
    if not over:
        return detail(generator)
    if over == "pad":
        return Pad(generator, detail)
    kind = FeatureStyle if over.startswith("fs") else Feature
    return kind(generator, int(over.removeprefix(kind.prefix)), detail)
