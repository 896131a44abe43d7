"""Random directions: how robust codes are where nobody chose the way (the F/Z+ paper, arXiv 2307.08995, figure 3).

n is drawn from a normal distribution with the same standard deviation in every coordinate, and a code moves by
``a n``. The paper says 0.2 (a variance of 0.04), its code draws 0.04. Both add the same n in Z and in W. Since W is
much narrower than the sphere of Z, the pictures of W then move further for the same n: the paper's comparison of Z+
and W+ is not one of equal steps. With ``matched`` the length of the step is the same share of the space's radius.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ganvert.base.errors import ParamsError
from ganvert.base.seeds import item_seed
from ganvert.directions.base import Direction, FinderInputs, row_range, step_length

__all__ = ["RandomOptions", "find_random"]

#: "paper": n as drawn; "matched": as long, relative to the radius of the space, as n is on the sphere of Z.
Magnitude = Literal["paper", "matched"]


@dataclass(frozen=True, kw_only=True)
class RandomOptions:
    """params.yaml: discover.methods.random.

    Attributes:
        count: how many for each standard deviation and magnitude. Names are ``random_0.2_0``, with ``matched``
            ``random_0.2_matched_0``.
        stds: standard deviations of a coordinate of n: 0.2 as the paper says, 0.04 as its code has. Directions of one
            number differ in their length only.
        magnitudes: "paper" for n as drawn; "matched" for n of the length std times the root mean square radius of the
            samples' codes around their mean, the same share of the radius in every space.
        spaces: z, w or both, with the same n where their dimensions are equal.
        first_row: first row of ws that the directions move.
        last_row: one past the last; None for all.
    """

    count: int = 5
    stds: tuple[float, ...] = (0.2, 0.04)
    magnitudes: tuple[Magnitude, ...] = ("paper", "matched")
    spaces: tuple[Literal["w", "z"], ...] = ("w", "z")
    first_row: int = 0
    last_row: int | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ParamsError(f"count: wanted at least 1, got {self.count}")
        if not (self.stds and self.magnitudes and self.spaces):
            raise ParamsError("stds, magnitudes and spaces: wanted at least one of each")
        if bad := [std for std in self.stds if not (np.isfinite(std) and std > 0)]:
            raise ParamsError(f"stds: wanted positive numbers, got {bad[0]}")

    def names(self) -> list[str]:
        """Return the names of the directions."""
        return [
            _name(std, magnitude, k) for std in self.stds for magnitude in self.magnitudes for k in range(self.count)
        ]


def _name(std: float, magnitude: Magnitude, k: int) -> str:
    return f"random_{std:g}_{'matched_' if magnitude == 'matched' else ''}{k}"


def find_random(inputs: FinderInputs, options: RandomOptions) -> list[Direction]:
    """Return random directions. Amount 1 is n itself, not a standard deviation of the samples (that is in `quality`).

    Raises:
        ParamsError: rows that the generator does not have.
    """
    samples = inputs.samples
    first, last = row_range(options.first_row, options.last_row, samples.num_ws, "random")
    directions = []
    for space in options.spaces:
        codes = samples.w if space == "w" else samples.z
        radius = float(np.sqrt(codes.var(axis=0).sum()))
        for k in range(options.count):
            # Of the number alone: z and w get the same n, and more directions leave the first ones as they are.
            draw = np.random.default_rng(item_seed("random direction", k)).standard_normal(codes[0].shape)
            length = float(np.linalg.norm(draw))
            sigma = step_length(codes, draw / length)
            for std in options.stds:
                for magnitude in options.magnitudes:
                    unit = std * (length if magnitude == "paper" else radius)
                    quality = {"std": std, "share_of_radius": unit / radius, "sigmas_per_unit": unit / sigma}
                    name = _name(std, magnitude, k)
                    directions.append(Direction(name, space, "random", draw / length, unit, first, last, quality))
    return directions
