"""Whether an edit can be pasted back without ghosts: how well the reconstruction lies on the photographed face.

In mode "difference" the photograph keeps its own pixels and receives what the edit changed in the reconstruction. Where
that has its ears and hair elsewhere, the change lands beside the photograph's own, and both are seen.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from ganvert.faces.paste import homography, soft_mask

__all__ = ["SAME_PERSON", "SEAM", "Fit", "seam_error"]

#: dlib's rule for its face descriptors (face_recognition_model_v1 documentation): below it, one person.
SAME_PERSON = 0.6
#: Grey levels. The shipped encoder's reconstructions differ by 16 to 60 along the border (12 photographs), those of W
#: by 25 to 32 (3), and leave double ears and fringes; 100 steps of W+ leave 8 to 13 (3). 20 steps lie on both sides.
SEAM = 15.0
_PX = 256  # side of the pictures that are compared: single hairs do not count


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a reconstruction fits its photograph.

    Attributes:
        seam: see :func:`seam_error`.
        identity: distance of dlib's face descriptors; None where it was not measured or no face was found.
    """

    seam: float
    identity: float | None = None

    @property
    def warning(self) -> str:
        """Why ghosts are to be expected, with figures and what to do; empty where the fit is good."""
        reasons = []
        if self.identity is not None and self.identity > SAME_PERSON:
            reasons.append(f"identity distance {self.identity:.2f}, wanted {SAME_PERSON:g} or less")
        if self.seam > SEAM:
            reasons.append(f"difference along the border {self.seam:.0f} grey levels, wanted {SEAM:g} or less")
        if not reasons:
            return ""
        return (
            f"the reconstruction is not close to the photograph ({'; '.join(reasons)}): ears and hair may show double "
            "where the edit is pasted back; invert with a stronger method (best) or more steps"
        )


def seam_error(crop: Image.Image, reconstruction: Image.Image, feather: float) -> float:
    """Return the mean difference of two square pictures along the border of the pasted region.

    Args:
        crop: of the photograph.
        reconstruction: what the unedited code draws.
        feather: width of the soft edge, see :func:`ganvert.faces.paste.paste`.

    Returns:
        Grey levels, 0 to 255, weighted by m (1 - m) of the paste's mask m: most where both pictures are visible.
    """
    shrunk = [image.convert("RGB").resize((_PX, _PX), Image.Resampling.BOX) for image in (crop, reconstruction)]
    first, second = (np.asarray(image, dtype=np.float64) for image in shrunk)
    corners = np.array([[0, 0], [0, _PX], [_PX, _PX], [_PX, 0]], dtype=np.float64)
    # A hard edge has no pixel where both are visible: the pixels beside it count.
    mask = soft_mask(homography(corners), _PX, _PX, max(feather, 2 / _PX))
    weights = mask * (1 - mask)
    return float((weights * np.abs(first - second).mean(axis=2)).sum() / weights.sum())
