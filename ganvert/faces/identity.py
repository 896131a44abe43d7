"""Identity of a face: dlib's descriptor of 128 numbers (a ResNet trained by metric learning, King 2017)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ganvert import assets
from ganvert.base.errors import AssetError
from ganvert.faces.detect import FaceDetector, as_dlib

__all__ = ["IDENTITY_FILE", "SAME_PERSON", "IdentityEmbedder", "distance"]

IDENTITY_FILE = "dlib_face_recognition_resnet_model_v1.dat"
SAME_PERSON = 0.6  # the model's own threshold: below it two images show the same person
DETECTION_SIDE = 512  # px; an aligned crop of this size has a face of about 250 px
_REMEMBERED = 32  # images whose descriptors are cached


class IdentityEmbedder:
    """Computes the descriptor of the largest face in an image.

    Args:
        folder: of the asset files.

    Raises:
        AssetError: a model is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        import dlib

        path = assets.path(IDENTITY_FILE, folder)
        try:
            self._network = dlib.face_recognition_model_v1(str(path))
        except RuntimeError as error:
            raise AssetError(f"{path}: not a readable dlib model ({error}); delete it and fetch again") from error
        self._detector = FaceDetector(folder, long_side=DETECTION_SIDE)
        self._seen: dict[bytes, np.ndarray | None] = {}

    def embed(self, images: Sequence[Image.Image]) -> list[np.ndarray | None]:
        """Return float64 [128] per image, or None if no face was found."""
        return [self._embed(image) for image in images]

    def _embed(self, image: Image.Image) -> np.ndarray | None:
        # Scoring edits compares each of them with the same two images, whose descriptors are therefore cached.
        key = hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).digest()
        if key not in self._seen:
            if len(self._seen) >= _REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = self._describe(image)
        return self._seen[key]

    def _describe(self, image: Image.Image) -> np.ndarray | None:
        faces = self._detector.detect(image, upsample=0)
        if not faces:
            return None
        pixels = np.asarray(image.convert("RGB"))
        return np.array(self._network.compute_face_descriptor(pixels, as_dlib(faces[0])), dtype=np.float64)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Euclidean distance of two descriptors; below :data:`SAME_PERSON` they belong to the same person."""
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)))
