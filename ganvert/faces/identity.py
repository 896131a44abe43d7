"""Identity of a face: a network's descriptor of an upright chip, cut out where the face's landmarks are."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ganvert.faces.chips import DLIB, Template, cut_chips, place_chip
from ganvert.faces.detect import FaceDetector
from ganvert.faces.dlib_network import DlibDescriptor
from ganvert.images import to_pil

__all__ = ["SAME_PERSON", "FaceDescriber", "load_dlib"]

SAME_PERSON = 0.6  # dlib's own threshold: below it two descriptors are of the same person
DETECTION_SIDE = 512  # px; an aligned crop of this size has a face of about 250 px
_REMEMBERED = 4096  # pictures whose landmarks are kept, a kilobyte each; a training sees as many again and again


class FaceDescriber:
    """Finds the largest face of a picture and describes it; describing is differentiable in the picture.

    Args:
        network: chips [N, 3, size, size] in [-1, 1] to descriptors [N, d].
        template: how the network wants its chips.
        folder: of the asset files.

    Raises:
        AssetError: the landmark model is missing or damaged.
    """

    def __init__(self, network: nn.Module, template: Template, folder: Path | None) -> None:
        self.network, self.template = network, template
        self._detector = FaceDetector(folder, long_side=DETECTION_SIDE)
        self._found: dict[tuple[bytes, int | None], np.ndarray | None] = {}

    def places(self, images: Tensor, steps: int | None = None) -> Tensor:
        """Find where the chips of pictures lie (:func:`ganvert.faces.chips.place_points`).

        Args:
            images: [N, 3, h, w] in [-1, 1].
            steps: of the detector's ladder that are tried; None for all.

        Returns:
            float64 [N, 2, 3] on the pictures' device; nan where no face was found.
        """
        rows = np.full((len(images), 2, 3), np.nan)
        for row, image in zip(rows, to_pil(images), strict=True):
            landmarks = self._landmarks(image, steps)
            if landmarks is not None:
                row[:] = place_chip(landmarks, self.template)
        return torch.from_numpy(rows).to(images.device)

    def _landmarks(self, image: Image.Image, steps: int | None) -> np.ndarray | None:
        # A target is compared with the results of several methods, and in training comes again and again.
        key = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest(), steps
        if key not in self._found:
            if len(self._found) >= _REMEMBERED:
                del self._found[next(iter(self._found))]
            # The first step enlarges small pictures, so that a face of half their side has 128 px or more.
            upsample = max(int(np.ceil(np.log2(256 / max(image.size)))), 0)
            faces = self._detector.detect(image, upsample, steps)
            self._found[key] = faces[0] if faces else None
        return self._found[key]

    def __call__(self, images: Tensor, places: Tensor) -> Tensor:
        """Return descriptors [N, d] of pictures [N, 3, h, w] in [-1, 1]; every place must be a number."""
        return self.network(cut_chips(images, places, self.template.size))


@cache
def load_dlib(folder: Path | None, device: torch.device) -> FaceDescriber:
    """Return the shared describer of dlib's network [128] for a folder and device.

    Raises:
        AssetError: a model is missing or damaged.
        CheckpointError: the weights are of another network.
    """
    return FaceDescriber(DlibDescriptor(folder).to(device), DLIB, folder)
