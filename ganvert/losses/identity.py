"""The distance of two faces' descriptors by dlib's network, which is differentiable in the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvert.faces.chips import DLIB, DLIB_POINTS_FFHQ, place_points
from ganvert.faces.identity import load_dlib
from ganvert.losses.base import Loss

__all__ = ["IdentityDlib"]


class IdentityDlib(Loss[dict[str, Tensor]]):
    """Squared Euclidean distance of dlib's 128-d descriptors: 0 for equal pictures, 0.36 at dlib's threshold.

    Squared, because the distance itself has no gradient at 0. It is for faces that are aligned as FFHQ is. The
    target's landmarks are found once; generated pictures are cut by the same similarity, since a reconstruction has its
    face where the target has it. Where no face is found in the target (too dark, covered by a mask, drawn), the
    similarity is that of FFHQ's mean points. A turned head keeps its chip only as far as its points stay in place:
    edits are measured by the metric, which looks for the edited face.
    """

    def __init__(self, folder: Path | None, device: torch.device) -> None:
        self.describer = load_dlib(folder, device)

    @torch.no_grad()
    def prepare(self, target: Tensor) -> dict[str, Tensor]:
        # One step of the detector's ladder: the others cost a second for a target without a face.
        places = self.describer.places(target, steps=1)
        mean = place_points(np.array(DLIB_POINTS_FFHQ) * target.shape[-1] - 0.5, DLIB)
        places = torch.where(places.isfinite(), places, torch.from_numpy(mean).to(places)).float()
        return {"places": places, "descriptors": self.describer(target, places)}

    def __call__(self, image: Tensor, prepared: dict[str, Tensor]) -> Tensor:
        return (self.describer(image, prepared["places"]) - prepared["descriptors"]).square().sum(dim=1)
