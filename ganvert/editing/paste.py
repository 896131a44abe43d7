"""The photograph with the edited face in it."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from PIL import Image

from ganvert.faces import Photo, paste

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
    photo: Photo, edited: Image.Image, reconstruction: Image.Image, quad: np.ndarray, options: PasteOptions
) -> Image.Image:
    """Return the photograph with the edit in it: as transparent, and as grey, as it was.

    Args:
        photo: the photograph.
        edited: square crop that the generator drew from the edited code.
        reconstruction: the same from the unedited code; in mode "difference" it is what the edit is compared with.
        quad: [4, 2] corners of the crop in photo pixels.
        options: how.

    Returns:
        An image in the mode of `photo.original`.
    """
    reference = reconstruction if options.mode == "difference" else None
    original = photo.original
    # The colours below transparent pixels, not those over white: the viewer composites the result again.
    colours = original.convert("L" if original.mode in ("L", "LA") else "RGB")
    pasted = paste(colours, edited, quad, options.feather, options.colour_match, options.mode, reference)
    pasted = pasted.convert(colours.mode)
    if original.mode in ("LA", "RGBA"):
        pasted.putalpha(original.getchannel("A"))
    return pasted
