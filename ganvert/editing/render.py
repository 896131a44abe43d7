"""Rendering edits of inverted codes: crops, and the photograph with the edited face in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from ganvert.base.errors import ParamsError
from ganvert.base.registry import lookup
from ganvert.codes import Codes
from ganvert.directions import Direction, choose
from ganvert.editing.edits import EDITS
from ganvert.faces import paste
from ganvert.images import to_pil
from ganvert.spaces import Motion

__all__ = ["EditSpec", "PasteOptions", "draw_edit", "draw_shifts", "paste_edit"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EditSpec:
    """One row of pictures: a direction and its amounts.

    Attributes:
        direction: name in the directions table.
        amounts: in the direction's units (standard deviations).
        pasted: amounts whose crop is also pasted back into the photograph.
        edit: name in ``ganvert.editing.edits.EDITS``.
    """

    direction: str
    amounts: tuple[float, ...]
    pasted: tuple[float, ...] = ()
    edit: str = "shift"

    def __post_init__(self) -> None:
        lookup(EDITS, self.edit, "edit")
        if not self.amounts or len(set(self.amounts)) != len(self.amounts):
            raise ParamsError(f"amounts: wanted different numbers, at least one, got {self.amounts}")
        if set(self.pasted) - set(self.amounts):
            raise ParamsError(f"pasted: {self.pasted} holds amounts that are not in amounts {self.amounts}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PasteOptions:
    """How an edited crop goes back into its photograph (see :func:`ganvert.faces.paste`)."""

    mode: Literal["replace", "difference"] = "difference"
    feather: float = 0.1
    colour_match: bool = False


@torch.no_grad()
def draw_edit(
    codes: Codes, directions: Mapping[tuple[str, str], Direction], spec: EditSpec, amount: float
) -> Image.Image:
    """The edited picture of one image's codes; amount 0 is its reconstruction."""
    codes = codes.select(0)  # with the image's own generator
    direction = choose(directions, spec.direction, codes.space.direction_space)
    told = EDITS[spec.edit](codes, direction, amount)
    return to_pil(codes.space.generator.synthesize(told))[0]


@torch.no_grad()
def draw_shifts(codes: Codes, moves: Sequence[tuple[Direction, float]], motion: Motion = "retract_once") -> Image.Image:
    """One image's codes moved along several directions at once, each by its amount on its own rows.

    Moves are added before anything is put back on the manifold, so their order does not matter. `motion` says how
    codes move on spheres (:meth:`ganvert.spaces.Space.move`).
    """
    codes = codes.select(0)  # with the image's own generator
    generator = codes.space.generator
    device = generator.w_avg.device
    variables = {name: value.to(device) for name, value in codes.variables.items()}
    steps = [
        (torch.from_numpy(direction.step(amount)).to(device), (direction.first_row, direction.last_row))
        for direction, amount in moves
    ]
    return to_pil(generator.synthesize(codes.with_noise(codes.space.move(variables, steps, motion))))[0]


def paste_edit(
    photo: Image.Image, edited: Image.Image, reconstruction: Image.Image, quad: np.ndarray, options: PasteOptions
) -> Image.Image:
    """The photograph with the edit in it."""
    more: dict[str, Any] = {"reference": reconstruction} if options.mode == "difference" else {}
    return paste(photo, edited, quad, options.feather, options.colour_match, options.mode, **more)
