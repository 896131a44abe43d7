"""The photograph with the edited face in it."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from PIL import Image

from ganvert.faces import paste

__all__ = ["PasteOptions", "paste_edit"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PasteOptions:
    """How an edited crop goes back into its photograph (see :func:`ganvert.faces.paste`)."""

    # What the inversion got wrong is in both crops and cancels in the difference, so that the photograph keeps its own
    # details. It needs a reconstruction that lies exactly on the face.
    mode: Literal["replace", "difference"] = "difference"
    feather: float = 0.1
    colour_match: bool = False


def paste_edit(
    photo: Image.Image, edited: Image.Image, reconstruction: Image.Image, quad: np.ndarray, options: PasteOptions
) -> Image.Image:
    """Return the photograph with the edit in it.

    Args:
        photo: upright RGB photograph.
        edited: square crop that the generator drew from the edited code.
        reconstruction: the same from the unedited code; in mode "difference" it is what the edit is compared with.
        quad: [4, 2] corners of the crop in photo pixels.
        options: how.
    """
    reference = reconstruction if options.mode == "difference" else None
    return paste(photo, edited, quad, options.feather, options.colour_match, options.mode, reference)
