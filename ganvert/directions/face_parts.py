"""Parts of the faces that samples show, for finders whose directions belong to a part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ganvert.base.errors import ParamsError
from ganvert.faces.parsing import find_region, has_face
from ganvert.generators.base import Generator
from ganvert.images import to_pil

if TYPE_CHECKING:
    from ganvert.faces.parsing import FaceParser

__all__ = ["PARTS", "label_samples", "parts_of"]

#: Regions of face parsing that share no pixel; what none of them has is skin.
_DISJOINT = ("background", "brows", "cloth", "ears", "eyes", "glasses", "hair", "hat", "mouth", "neck", "nose")
#: Parts that cover the picture and share no pixel.
PARTS = (*_DISJOINT, "skin")


@torch.no_grad()
def label_samples(
    generator: Generator, w: np.ndarray, parser: FaceParser, count: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw samples, and return the first ones on which face parsing finds a face.

    Args:
        generator: draws them.
        w: [N, w_dim].
        parser: of the pictures.
        count: how many faces.

    Returns:
        Their w [count, w_dim] and labels, each uint8 [512, 512].

    Raises:
        ParamsError: too few of the first samples show a face.
    """
    found, labels = list[int](), list[np.ndarray]()
    for number in range(min(len(w), 4 * count)):
        ws = torch.from_numpy(w[number]).to(generator.w_avg).expand(1, generator.num_ws, -1)
        of_sample = parser.labels(to_pil(generator.synthesize(ws=ws))[0])
        if has_face(of_sample):
            found.append(number)
            labels.append(of_sample)
        if len(found) == count:
            return w[found], labels
    raise ParamsError(
        f"images: wanted {count} samples that show a face, got {len(found)} of {min(len(w), 4 * count)}; "
        "regions by name are of faces: lower images, or give a box or mask"
    )


def parts_of(labels: np.ndarray, px: int) -> np.ndarray:
    """Return the number in :data:`PARTS` of each pixel of a picture reduced to px x px, [px, px]."""
    parts = np.full(labels.shape, len(_DISJOINT))
    for number, name in enumerate(_DISJOINT):
        parts[find_region(labels, name)] = number
    # The pixel in the middle of each square; a mean of numbers would be another part.
    middles = ((np.arange(px) + 0.5) * len(labels) / px).astype(int)
    return parts[np.ix_(middles, middles)]
