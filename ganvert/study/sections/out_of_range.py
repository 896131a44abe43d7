"""Pictures outside of what a generator has seen: faces that are moved, turned or shrunk (BDInvert, Kang et al. 2021).

The crop itself is transformed and inverted as it is, not aligned again. What is missing at its edges is filled with its
mirror image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from ganvert.base.errors import ParamsError
from ganvert.study.sections.base import SectionOptions

__all__ = ["OutOfRangeOptions", "transformed", "transforms"]

_FULL = 1024  # px, of which translations are given
_MOST_DEGREES = 180


@dataclass(frozen=True, kw_only=True)
class OutOfRangeOptions(SectionOptions):
    """params.yaml: study.sections.out_of_range.

    Attributes:
        translations: to the right [px of a crop of 1024 px].
        rotations: about the centre [degrees, counterclockwise].
        scales: about the centre; below 1 the face shrinks.
    """

    translations: tuple[float, ...] = (32, 64, 128)
    rotations: tuple[float, ...] = (10, 20, 30)
    scales: tuple[float, ...] = (0.8, 1.2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.translations or self.rotations or self.scales):
            raise ParamsError("translations, rotations and scales: wanted at least one of them")
        if bad := [value for value in self.scales if not 0.4 <= value <= 10]:
            raise ParamsError(f"scales: wanted 0.4 to 10, got {bad[0]:g}")
        if bad := [value for value in self.translations if not abs(value) < _FULL]:
            raise ParamsError(f"translations: wanted less than {_FULL} px, got {bad[0]:g}")
        if bad := [value for value in self.rotations if not abs(value) <= _MOST_DEGREES]:
            raise ParamsError(f"rotations: wanted -{_MOST_DEGREES} to {_MOST_DEGREES} degrees, got {bad[0]:g}")


def transforms(options: OutOfRangeOptions) -> Mapping[str, Callable[[Image.Image], Image.Image]]:
    """Return the name of each transform to what it does to a crop."""
    moved = {f"translate {value:g}": partial(transformed, shift=value / _FULL) for value in options.translations}
    turned = {f"rotate {value:g}": partial(transformed, degrees=value) for value in options.rotations}
    sized = {f"scale {value:g}": partial(transformed, scale=value) for value in options.scales}
    return {**moved, **turned, **sized}


def transformed(crop: Image.Image, shift: float = 0.0, degrees: float = 0.0, scale: float = 1.0) -> Image.Image:
    """Return a square crop moved, turned and scaled about its centre, mirrored where it ends.

    Args:
        crop: RGB.
        shift: to the right, in parts of its side.
        degrees: counterclockwise.
        scale: below 1 its content shrinks.
    """
    side = crop.width
    # Three times as wide and high: a turn by 45 degrees, or a scale of 0.5, stays inside.
    wide = np.pad(np.asarray(crop.convert("RGB")), ((side, side), (side, side), (0, 0)), mode="symmetric")
    cos, sin = np.cos(np.radians(degrees)) / scale, np.sin(np.radians(degrees)) / scale
    middle = side / 2
    # Pillow's matrix takes a pixel of the result to where it comes from; y points down.
    x0 = side + middle - cos * (middle + shift * side) + sin * middle
    y0 = side + middle - sin * (middle + shift * side) - cos * middle
    matrix = (cos, -sin, x0, sin, cos, y0)
    picture = Image.fromarray(wide)
    return picture.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
