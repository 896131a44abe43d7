"""The photograph with the edited face in it."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ganvert import assets
from ganvert.faces import Photo, paste, soft_region
from ganvert.faces.align import cut_quad
from ganvert.faces.parsing import PARSER_FILE, PARSER_PX, find_region, has_face, load_parser

__all__ = ["PasteOptions", "PasteRegion", "Pasted", "paste_edit"]

log = logging.getLogger(__name__)

PasteRegion = Literal["square", "face", "head"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PasteOptions:
    """How an edited crop goes back into its photograph (see :func:`ganvert.faces.paste`)."""

    # What the inversion got wrong is in both crops and cancels in the difference, so that the photograph keeps its own
    # details. It needs a reconstruction that lies exactly on the face.
    mode: Literal["replace", "difference"] = "difference"
    feather: float = 0.1
    colour_match: bool = False
    # Which part of the crop: the square with its corners rounded, or what face parsing finds on the photograph and on
    # the edited picture (their union). The head includes hair, ears and hats.
    region: PasteRegion = "square"

    def check_assets(self, folder: Path | None) -> None:
        """Raise AssetError, before any work, where the region needs a network that has not been fetched."""
        if self.region != "square":
            assets.path(PARSER_FILE, folder)


@dataclasses.dataclass(frozen=True)
class Pasted:
    """A photograph with an edit in it.

    Attributes:
        image: in the mode of the photograph.
        region: along which it was pasted.
        reason: why that is not the region that was asked for; empty where it is.
    """

    image: Image.Image
    region: PasteRegion
    reason: str = ""


def paste_edit(
    photo: Photo,
    edited: Image.Image,
    reconstruction: Image.Image,
    quad: np.ndarray,
    options: PasteOptions,
    folder: Path | None = None,
) -> Pasted:
    """Return the photograph with the edit in it: as transparent, and as grey, as it was.

    Args:
        photo: the photograph.
        edited: square crop that the generator drew from the edited code.
        reconstruction: the same from the unedited code; in mode "difference" it is what the edit is compared with.
        quad: [4, 2] corners of the crop in photo pixels.
        options: how.
        folder: of the assets, for regions other than the square; None for the default one.

    Raises:
        AssetError: a region other than the square is wanted, and the parsing network has not been fetched.
    """
    reference = reconstruction if options.mode == "difference" else None
    original = photo.original
    region, reason = _region(photo, edited, quad, options, folder)
    # The colours below transparent pixels, not those over white: the viewer composites the result again.
    colours = original.convert("L" if original.mode in ("L", "LA") else "RGB")
    pasted = paste(colours, edited, quad, options.feather, options.colour_match, options.mode, reference, region)
    pasted = pasted.convert(colours.mode)
    if original.mode in ("LA", "RGBA"):
        pasted.putalpha(original.getchannel("A"))
    return Pasted(pasted, "square" if region is None else options.region, reason)


def _region(
    photo: Photo, edited: Image.Image, quad: np.ndarray, options: PasteOptions, folder: Path | None
) -> tuple[np.ndarray | None, str]:
    """Return the weights of the region over the crop, or None for the square; and why it is the square, if so."""
    if options.region == "square":
        return None, ""
    parser, inside = load_parser(folder), np.zeros((PARSER_PX, PARSER_PX), dtype=bool)
    for what, picture in (("photograph", cut_quad(photo.image, quad, PARSER_PX)), ("edited picture", edited)):
        labels = parser.labels(picture)
        if not has_face(labels):
            reason = f"face parsing found no face on the {what}: pasted as a square, not along the {options.region}"
            log.warning("%s", reason)
            return None, reason
        # Of both: where only the edited face would be taken, the old contour would show beside it.
        inside |= find_region(labels, options.region)
    return soft_region(inside, options.feather), ""
