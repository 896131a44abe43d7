"""What the parts of a code hold (PadInv, Bai et al. 2022, sections 4.3 and 4.4; supplement, sections D and E.2).

A code of padding and rows goes to that of another photograph in its padding alone, in its rows alone, and as a whole.
The paper shows that the padding takes pose and contour along, and the rows colours and the details of the face. At
amount 1 of a part alone stands the paper's face blending. Codes of a feature map and rows are measured alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ganvert.base.errors import ParamsError
from ganvert.editing.compose import CENTRE, CROP
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import Interpolate
from ganvert.study.sections.base import Piece, Row, SectionOptions, Subject, Tools, number
from ganvert.study.sections.drawn import (
    PARTNER,
    Wanted,
    attributes_of,
    draw_all,
    face_found,
    identities_of,
    no_partner,
)

__all__ = ["KINDS", "PaddingOptions", "colour_difference", "measure_padding", "pose_difference"]

#: Variant to the part of a code that moves.
KINDS = {"padding": "own", "rows": "detail", "both": "all"}
_POSE = ("yaw", "pitch", "roll")
_PX = 256  # side at which colours are compared


@dataclass(frozen=True, kw_only=True)
class PaddingOptions(SectionOptions):
    """params.yaml: study.sections.padding.

    Attributes:
        amounts: above 0 (the photograph), to 1 (its partner).
    """

    amounts: tuple[float, ...] = (0.5, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.amounts or not all(0 < amount <= 1 for amount in self.amounts):
            raise ParamsError(f"amounts: wanted numbers above 0, to 1, got {list(self.amounts)}")


def measure_padding(subject: Subject, tools: Tools, options: PaddingOptions) -> Piece:
    """Return how pose, colour and identity lie to both photographs' reconstructions while a part of the code moves."""
    other = subject.partner
    if other is None:
        return Piece([no_partner(variant) for variant in KINDS], {})
    inputs = EditInputs(code=subject.code, references=[other.code])
    drawn, rows = draw_all(
        Wanted(variant=variant, amount=amount, edit=Interpolate(part=part), inputs=inputs)
        for variant, part in KINDS.items()
        for amount in options.amounts
    )
    ends = [(prefix, one.reconstruction) for prefix, one in (("", subject), (PARTNER, other))]
    poses = {prefix: attributes_of(picture, tools) for prefix, picture in ends}
    for at, picture in drawn.items():
        attributes = attributes_of(picture, tools)
        rows += face_found(at, attributes)
        for prefix, end in ends:
            rows += _pose_rows(at, f"{prefix}pose", attributes, poses[prefix])
            rows.append(number(*at, f"{prefix}colour", colour_difference(picture, end)))
        rows += identities_of(at, picture, subject, tools)
    pictures = {("photograph", 0.0): subject.crop, ("partner", 0.0): other.crop}
    return Piece(rows, {**pictures, ("reconstruction", 0.0): subject.reconstruction, **drawn})


def pose_difference(a: Mapping[str, float | None], b: Mapping[str, float | None]) -> float | None:
    """Return the Euclidean distance of yaw, pitch and roll of two faces [degrees]; None where one was not found."""
    squares = [(a[name], b[name]) for name in _POSE]
    known = [(one - two) ** 2 for one, two in squares if one is not None and two is not None]
    return math.sqrt(sum(known)) if len(known) == len(_POSE) else None


def colour_difference(a: Image.Image, b: Image.Image) -> float:
    """Return how far the mean colours of two aligned faces lie apart, in units of CIELAB (CIE76; 2.3 can be seen).

    The mean is over the middle of an aligned crop, which holds a face and little else: the square of semantic
    diffusion.
    """
    return float(np.linalg.norm(_mean_lab(a) - _mean_lab(b)))


def _mean_lab(picture: Image.Image) -> np.ndarray:
    """Return the CIELAB coordinates (D65) of the mean linear colour of a face [3]."""
    left, top = (middle - CROP // 2 for middle in CENTRE)
    small = picture.convert("RGB").resize((_PX, _PX), Image.Resampling.BOX).crop((left, top, left + CROP, top + CROP))
    values = np.asarray(small, dtype=np.float64) / 255
    # IEC 61966-2-1: sRGB to light, and light to XYZ in parts of the white point.
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).mean(axis=(0, 1))
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = matrix @ light / matrix.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _pose_rows(
    at: tuple[str, float], name: str, a: Mapping[str, float | None], b: Mapping[str, float | None]
) -> list[Row]:
    """Return the row of a difference of poses; none where poses are not looked for."""
    if not set(_POSE) <= a.keys():
        return []
    value = pose_difference(a, b)
    return [number(*at, name, value, "ok" if value is not None else "not_detected")]
