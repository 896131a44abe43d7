"""Identity of a face: a network's descriptor of an upright chip, cut out where the face's landmarks are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ganvert.faces.chips import DLIB, Template, cut_chips, place_chip, place_points
from ganvert.faces.detect import FaceDetector
from ganvert.faces.dlib_network import load_network
from ganvert.faces.mtcnn import Mtcnn
from ganvert.faces.remembered import Remembered
from ganvert.images import to_pil

__all__ = ["SAME_PERSON", "FaceDescriber", "FindPoints", "load_dlib", "mtcnn_points"]

SAME_PERSON = 0.6  # dlib's own threshold: below it two descriptors are of the same person
DETECTION_SIDE = 512  # px; an aligned crop of this size has a face of about 250 px
_REMEMBERED = 4096  # pictures whose places are kept, a few hundred bytes each; a training sees as many again and again
#: A picture to the five points of its largest face in a template's order, [5, 2] (x, y); None where it has no face.
FindPoints = Callable[[Image.Image], np.ndarray | None]


class FaceDescriber:
    """Finds the largest face of a picture and describes it; describing is differentiable in the picture.

    Args:
        network: chips [N, 3, size, size] in [-1, 1] to descriptors [N, d].
        template: how the network wants its chips.
        folder: of the asset files.
        points: finds the template's points; None for the frontal detector and the means of its landmarks.

    Raises:
        AssetError: the landmark model is missing or damaged.
    """

    def __init__(
        self, network: nn.Module, template: Template, folder: Path | None, points: FindPoints | None = None
    ) -> None:
        self.network, self.template, self._points = network, template, points
        self._detector = None if points else FaceDetector(folder, long_side=DETECTION_SIDE)
        self._found = Remembered[np.ndarray | None](_REMEMBERED)

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
            place = self._place(image, steps)
            if place is not None:
                row[:] = place
        return torch.from_numpy(rows).to(images.device)

    def _place(self, image: Image.Image, steps: int | None) -> np.ndarray | None:
        # A target is compared with the results of several methods, and in training comes again and again.
        key = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest(), steps
        return self._found.get(key, lambda: self._look(image, steps))

    def _look(self, image: Image.Image, steps: int | None) -> np.ndarray | None:
        """Return where the chip of a picture's largest face lies."""
        if self._detector is None:
            assert self._points is not None
            points = self._points(image)
            return None if points is None else place_points(points, self.template)
        # The first step enlarges small pictures, so that a face of half their side has 128 px or more.
        upsample = max(int(np.ceil(np.log2(256 / max(image.size)))), 0)
        faces = self._detector.detect(image, upsample, steps)
        return place_chip(faces[0], self.template) if faces else None

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
    return FaceDescriber(load_network(folder, device), DLIB, folder)


def mtcnn_points(folder: Path | None) -> FindPoints:
    """Return what finds MTCNN's five points: eyes, tip of the nose, corners of the mouth, as ArcFace's template wants.

    Pictures are looked at with a long side of 512 px at most, and for faces of an eighth of that and more.

    Raises:
        AssetError: MTCNN's weights are missing or damaged.
    """
    mtcnn = Mtcnn(folder, min_face=DETECTION_SIDE // 8)

    def find(image: Image.Image) -> np.ndarray | None:
        scale = min(DETECTION_SIDE / max(image.size), 1)
        width, height = (max(round(side * scale), 1) for side in image.size)
        small = image if scale == 1 else image.resize((width, height), Image.Resampling.BOX)
        faces = mtcnn.detect(small)
        if not faces:
            return None
        largest = max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])))
        return np.asarray((largest.points + 0.5) * (np.array(image.size) / small.size) - 0.5)

    return find
