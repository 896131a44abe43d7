"""Composed pictures: parts of two photographs, or a photograph with a hole, and how they are inverted.

What a composed picture shows is not a photograph: its parts differ in light and pose, or something is missing. Its
inversion is, because the generator draws nothing else: the code is fitted where the picture counts, and the generator's
prior makes the rest go with it (IDInvert, Zhu et al. 2020, section 6; Image2StyleGAN++, Abdal et al. 2020).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.codes import Code, codes_of_inversion
from ganvert.images import area_resize, from_pil, to_pil
from ganvert.inversion.contract import Context
from ganvert.inversion.inverter import Preset
from ganvert.inversion.presets import read_preset
from ganvert.inversion.run import Crop, invert_crops

__all__ = [
    "CENTRE",
    "CROP",
    "Composed",
    "box_mask",
    "check_blur",
    "crossover",
    "diffusion",
    "inpainting",
    "invert_composed",
    "paint_mask",
    "preset_for_parts",
]

#: Side and centre (x, y) of the crop of semantic diffusion on a picture of 256 px, as in IDInvert's code.
CROP, CENTRE = 110, (125, 145)
_FULL = 256
_BORDER = 0.01  # in parts of the side: how far a pixel of a small photograph reaches on its crop
_PAINT = 0.2  # of a range of 2: what paint differs by at least, and JPEG hardly anywhere
_FILL_PX = 64  # a hole is filled with colours of its surroundings, in which no detail may be seen


@dataclasses.dataclass(frozen=True, eq=False)
class Composed:
    """A picture to invert.

    Attributes:
        picture: RGB, square.
        mask: [1, 1, h, h] in [0, 1], where the code is fitted to it; None for everywhere.
    """

    picture: Image.Image
    mask: Tensor | None = None


def box_mask(px: int, side: int = CROP, centre: tuple[int, int] = CENTRE) -> Tensor:
    """Return 1 inside a square and 0 outside, float32 [1, 1, px, px].

    Args:
        px: side of the picture.
        side: of the square, in pixels of a picture of 256 px.
        centre: of the square, x and y, in the same pixels.

    Raises:
        ParamsError: the square does not lie inside the picture.
    """
    if side < 1 or any(not side / 2 <= middle <= _FULL - side / 2 for middle in centre):
        raise ParamsError(
            f"crop: wanted a square inside the picture of {_FULL} px, got {side} px around {centre[0]}, {centre[1]}"
        )
    mask, scale = torch.zeros(1, 1, px, px), px / _FULL
    left, top = (round((middle - side / 2) * scale) for middle in centre)
    size = max(round(side * scale), 1)
    mask[..., top : top + size, left : left + size] = 1
    return mask


def diffusion(target: Image.Image, context: Image.Image, mask: Tensor, around: float = 0.0) -> Composed:
    """Return semantic diffusion's picture: the target inside the mask, on the context.

    In the paper only the target's part is fitted (IDInvert, section 6). The context enters by the start alone, an
    encoder's view of the whole picture, and changes where that makes the whole plausible.

    Args:
        target: an aligned crop.
        context: another; the result has its size.
        mask: [1, 1, h, h] in [0, 1].
        around: how much the context counts beside the target, 0 to 1. More keeps hair and light, less the person.

    Raises:
        ParamsError: `around` is out of range.
    """
    if not 0 <= around <= 1:
        raise ParamsError(f"around: wanted 0 to 1, got {around}")
    return Composed(_over(target, context, mask), mask + (1 - mask) * around)


def paint_mask(painted: Image.Image, picture: Image.Image) -> Tensor:
    """Return where something is painted on a copy of a picture: float32 [1, 1, h, h], 1 where they differ, widened.

    Args:
        painted: RGB; saved as JPEG its other pixels may differ a little.
        picture: RGB of the same size.

    Raises:
        UnsupportedError: they differ nowhere.
    """
    difference = (from_pil([painted.convert("RGB")]) - from_pil([picture.convert("RGB")])).abs().amax(1, keepdim=True)
    border = round(_BORDER * picture.width)
    mask = F.max_pool2d((difference > _PAINT).float(), 2 * border + 1, stride=1, padding=border)
    if not bool(mask.any()):
        raise UnsupportedError("the painted copy: differs nowhere from its picture; name a mask, or paint on it")
    return mask


def crossover(part: Image.Image, rest: Image.Image, mask: Tensor, blur: float = 0.05) -> Composed:
    """Return the crossover of two pictures: one inside the mask, the other outside, all of it fitted.

    Image2StyleGAN++ minimises ``M (G - x)^2 + (1 - M) (G - y)^2`` with a blurred mask M, which is ``(G - c)^2`` for the
    composed picture ``c = M x + (1 - M) y``, but for a term without G.

    Args:
        part: an aligned crop, which is seen inside the mask.
        rest: another; the result has its size.
        mask: [1, 1, h, h] in [0, 1].
        blur: standard deviation of the mask's blur in parts of the side, at most 0.25.

    Raises:
        ParamsError: the blur is out of range.
    """
    check_blur(blur)
    return Composed(_over(part, rest, _blurred(mask, blur)))


def check_blur(blur: float, what: str = "blur") -> None:
    """Raise ParamsError for a blur that :func:`crossover` does not take; `what` is what the message calls it."""
    if not 0 <= blur <= 0.25:
        raise ParamsError(f"{what}: wanted 0 to 0.25 of the picture's side, got {blur}")


def inpainting(picture: Image.Image, hole: Tensor) -> Composed:
    """Return a picture with its hole filled by the colours around it; it is fitted outside the hole.

    The filling is where an encoder starts from; nothing of what was in the hole remains. The hole is widened a little,
    because crops are resampled: pixels beside it hold some of what is in it.

    Args:
        picture: an aligned crop.
        hole: [1, 1, h, h] in [0, 1].

    Raises:
        UnsupportedError: the hole is the whole picture.
    """
    border = 2 + round(_BORDER * picture.width)
    hole = F.max_pool2d(area_resize(hole, picture.width).clamp(0, 1), 2 * border + 1, stride=1, padding=border)
    known = 1 - hole
    if not bool(known.any()):
        raise UnsupportedError("mask: the hole is the whole picture; wanted some of it to be known")
    size = min(_FILL_PX, picture.width)
    colours = area_resize(from_pil([picture]) * known, size)
    weights = area_resize(known, size)
    # From coarse to fine: where the surroundings are near, they have the say.
    filling = (colours.sum((2, 3), keepdim=True) / weights.sum((2, 3), keepdim=True)).expand_as(colours)
    for blur in (0.25, 0.1, 0.03):
        near, weight = _blurred(colours, blur), _blurred(weights, blur)
        filling = torch.lerp(filling, near / weight.clamp(min=1e-6), weight.clamp(0, 1).sqrt())
    filling = F.interpolate(filling, size=picture.size, mode="bilinear", align_corners=False)
    return Composed(_over(picture, to_pil(filling)[0], known), known)


def preset_for_parts(preset: Preset) -> Preset:
    """Return a method as composed pictures are inverted by it: an encoder starts it, and does not hold it.

    The encoder has learned photographs, and a composed picture is none: IDInvert switches its regulariser off here.

    Raises:
        UnsupportedError: the method does not fit codes to a part of a picture.
    """
    if not preset.options.terms:
        raise UnsupportedError(
            f"method {preset.name!r}: predicts codes of whole pictures; wanted one that fits them, such as idinvert"
        )
    if any(not hasattr(stage.options, "space") for stage in preset.stages):
        raise UnsupportedError(
            f"method {preset.name!r}: tunes the generator, which then no longer corrects what was composed; wanted one "
            "that fits codes alone, such as idinvert"
        )
    return read_preset(preset.name, _without_encoder(preset.raw), f"method {preset.name!r}")


def invert_composed(composed: Composed, image_id: str, preset: Preset, context: Context, *, seed: int = 0) -> Code:
    """Return the code of a composed picture.

    Args:
        composed: the picture.
        image_id: its id, of which its seed is made.
        preset: of :func:`preset_for_parts`.
        context: of the preset.
        seed: of the run.
    """
    crop = Crop(image_id, composed.picture, composed.mask)
    with torch.enable_grad():  # edits are drawn without
        inversion = invert_crops([crop], preset, context, seed=seed)
    return codes_of_inversion(inversion, [image_id], preset.name, context.generator)[0]


def _without_encoder(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a preset, and of its stages, without penalties that ask an encoder."""
    options = copy.deepcopy(dict(raw))
    if "regularise" in options:
        held = {name: weight for name, weight in options["regularise"].items() if not name.startswith("encoder")}
        options["regularise"] = held
    if "stages" in options:
        options["stages"] = [_without_encoder(stage) for stage in options["stages"]]
    return options


def _over(picture: Image.Image, beneath: Image.Image, mask: Tensor) -> Image.Image:
    """Return a picture where the mask is 1, and another one where it is 0."""
    size = beneath.size
    sized = picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)
    weights = area_resize(mask, size[0]).clamp(0, 1)
    (shape,) = to_pil(weights.mul(2).sub(1))
    return Image.composite(sized.convert("RGB"), beneath.convert("RGB"), shape.convert("L"))


def _blurred(values: Tensor, blur: float) -> Tensor:
    """Return [1, C, h, h] under a Gaussian whose standard deviation is `blur` of the side; edges are repeated."""
    if blur == 0:
        return values
    from scipy.ndimage import gaussian_filter

    px = values.shape[-1]
    # A wide blur leaves nothing that a small picture could not hold.
    small = area_resize(values, min(px, 256))
    sigma = blur * small.shape[-1]
    blurred = torch.from_numpy(gaussian_filter(small.numpy(), (0, 0, sigma, sigma), mode="nearest"))
    return F.interpolate(blurred, size=(px, px), mode="bilinear", align_corners=False)
