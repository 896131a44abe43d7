"""Detection of faces and their 68 landmarks, with dlib's frontal HOG detector and ensemble-of-trees predictor.

Detector: Dalal and Triggs 2005 with King's max-margin training (arXiv 1502.00046); it finds faces of about 80 px or
more. Landmarks: Kazemi and Sullivan 2014, in the order of iBUG 300-W. Where it finds nothing, MTCNN takes a second look
(:mod:`ganvert.faces.second_look`). All are deterministic: equal pixels give equal faces.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganvert import assets
from ganvert.base.errors import AssetError
from ganvert.faces.mtcnn import Mtcnn
from ganvert.faces.second_look import look_again
from ganvert.faces.turns import TURNS

__all__ = ["LANDMARKS_FILE", "FaceDetector", "Found", "as_dlib"]

log = logging.getLogger(__name__)

LANDMARKS_FILE = "shape_predictor_68_face_landmarks.dat"
LANDMARK_SIDE = 1600  # px; the trees compare single pixels, so much larger images only add noise
ENLARGED_SIDE = 2400  # px; steps of the ladder that would enlarge beyond this are skipped: they cost time and memory
CONFIDENT = 1.0  # detector's score of a face that is surely upright; false ones on turned photographs reach about 0.5
MARGIN = 0.5  # by which the score of a turned face must exceed that of an upright one
BORDER = 0.3  # reflected border of the last step, as a fraction of the image's sides


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """The faces of a photograph.

    Attributes:
        faces: float64 [68, 2] landmarks (x, y) in pixels of the photograph as it is, largest face first.
        degrees: by how much it has to be turned clockwise for the faces to be upright: 0, 90, 180 or 270.
        detector: which one found them, "hog" or "mtcnn"; None where there is no face.
    """

    faces: list[np.ndarray]
    degrees: int
    detector: str | None


class FaceDetector:
    """Finds faces; keeps the models in memory between images.

    :meth:`detect` tries a ladder of settings, cheapest first, and stops at the first one that finds a face:

    1. the image, enlarged 2x `upsample` times;
    2. enlarged once more (for faces under 80 px), and once more;
    3. as step 1 with 30 % of reflected border (for faces that a tight crop cuts off or that touch the edge).

    Args:
        folder: of the asset files.
        long_side: larger images are shrunk to this long side [px] for detection, which costs time per pixel.
        second_look: whether :meth:`detect_turned` asks MTCNN where it finds no face.

    Raises:
        AssetError: the landmark model, or that of the second look, is missing or damaged.
    """

    def __init__(self, folder: Path | None, long_side: int = LANDMARK_SIDE, *, second_look: bool = False) -> None:
        import dlib

        self.long_side = long_side
        self._second = Mtcnn(folder) if second_look else None
        path = assets.path(LANDMARKS_FILE, folder)
        try:
            self._predictor = dlib.shape_predictor(str(path))
        except RuntimeError as error:
            raise AssetError(f"{path}: not a readable dlib model ({error}); delete it and fetch again") from error
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, image: Image.Image, upsample: int = 1, steps: int | None = None) -> list[np.ndarray]:
        """Find the landmarks of every face, largest face first (ties: left to right, top to bottom).

        Args:
            image: RGB image of any size.
            upsample: how many times the image is enlarged 2x in the first step; 0 suits faces of 80 px or more.
            steps: of the ladder that are tried at most; None for all.

        Returns:
            float64 [68, 2] arrays of (x, y), where integers are pixel centres of `image`; an empty list without a face.
        """
        return self._detect(image, upsample, steps)[0]

    def detect_turned(self, image: Image.Image, upsample: int = 1) -> Found:
        """Find faces as :meth:`detect` does, also where the photograph lies on its side or stands on its head.

        Other orientations are tried, with the first step of the ladder only, where no upright face is found or none of
        which the detector is sure. Where none has a face, MTCNN looks at all four, if this detector has it.

        Args:
            image: RGB image of any size.
            upsample: see :meth:`detect`.
        """
        faces, score = self._detect(image, upsample)
        degrees, wanted = 0, score + MARGIN
        if score < CONFIDENT:
            for turn in TURNS[1:]:
                turned, turned_score = self._detect(turn.apply(image), upsample, steps=1)
                if turned_score > wanted:
                    faces = [turn.back(points, *image.size) for points in turned]
                    degrees, wanted = turn.degrees, turned_score
        if faces:
            return Found(faces, degrees, "hog")
        if self._second is not None:
            middle, to_middle = _shrink(image, LANDMARK_SIDE)
            faces, degrees = look_again(middle, self._second, self._predict)
            faces = [(points + 0.5) / to_middle - 0.5 for points in faces]
        return Found(faces, degrees, "mtcnn" if faces else None)

    def _detect(self, image: Image.Image, upsample: int, steps: int | None = None) -> tuple[list[np.ndarray], float]:
        """Return the landmarks of every face and the highest score; tries the whole ladder or its first steps."""
        small, to_small = _shrink(image, self.long_side)
        middle, to_middle = _shrink(image, LANDMARK_SIDE)
        pixels = np.asarray(middle)
        for step, (picture, offset, times) in enumerate(islice(_ladder(np.asarray(small), upsample), steps)):
            found, scores, _ = self._detector.run(picture, times, 0.0)
            boxes = [(box.left(), box.top(), box.right(), box.bottom()) for box in found]
            if boxes:
                log.debug("%d faces at step %d", len(boxes), step)
                corners = np.array(boxes, dtype=np.float64).reshape(-1, 2, 2) - offset
                # Sizes scale about pixel edges, half a pixel before the centres that integers stand for.
                corners = (corners + 0.5) / to_small * to_middle - 0.5
                faces = [self._landmarks(pixels, box) for box in sorted(corners, key=_order)]
                return [(points + 0.5) / to_middle - 0.5 for points in faces], max(scores)
        return [], -np.inf

    def _landmarks(self, pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
        (left, top), (right, bottom) = np.rint(box).astype(int).tolist()
        return self._predict(pixels, (left, top, right, bottom))

    def _predict(self, pixels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
        """Return the landmarks [68, 2] of the face in a box (left, top, right, bottom)."""
        import dlib

        shape = self._predictor(pixels, dlib.rectangle(*box))
        return np.array([(part.x, part.y) for part in shape.parts()], dtype=np.float64)


def as_dlib(landmarks: np.ndarray) -> Any:
    """Convert landmarks to the five points by which dlib cuts its face chips, as a `full_object_detection`.

    dlib's order: outer and inner corner of the eye on the image's right, the same on its left, base of the nose.

    Args:
        landmarks: [68, 2] (x, y) pixels.
    """
    import dlib

    points = dlib.points()
    for x, y in np.rint(landmarks[[45, 42, 36, 39, 33]]).astype(int).tolist():
        points.append(dlib.point(x, y))
    (left, top), (right, bottom) = np.rint([landmarks.min(0), landmarks.max(0)]).astype(int).tolist()
    return dlib.full_object_detection(dlib.rectangle(left, top, right, bottom), points)


def _ladder(pixels: np.ndarray, upsample: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield (image, offset of its content (x, y), times to enlarge), cheapest first."""
    none = np.zeros(2)
    fits = [times for times in range(upsample + 1, upsample + 3) if max(pixels.shape[:2]) * 2**times <= ENLARGED_SIDE]
    yield pixels, none, upsample
    for times in fits:
        yield pixels, none, times
    rows, columns = (round(side * BORDER) for side in pixels.shape[:2])
    padded = np.pad(pixels, ((rows, rows), (columns, columns), (0, 0)), mode="symmetric")
    for times in [upsample, *fits[:1]]:
        yield padded, np.array([columns, rows]), times


def _shrink(image: Image.Image, side: int) -> tuple[Image.Image, np.ndarray]:
    """Shrink to a long side of at most `side`; returns the RGB image and the scale (x, y) from `image` to it."""
    image = image.convert("RGB")
    ratio = side / max(image.size)
    if ratio >= 1:
        return image, np.ones(2)
    width, height = (max(round(length * ratio), 1) for length in image.size)
    small = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return small, np.array(small.size) / image.size


def _order(box: np.ndarray) -> tuple[float, float, float]:
    (left, top), (right, bottom) = box
    return -(right - left) * (bottom - top), left, top
