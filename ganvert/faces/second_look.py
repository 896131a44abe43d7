"""A second look for faces where the frontal detector finds none: MTCNN's boxes, and landmarks that agree with them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from ganvert.faces.align import cut_quad, oriented_square
from ganvert.faces.mtcnn import FoundFace, Mtcnn
from ganvert.faces.turns import TURNS

__all__ = ["look_again"]

SIDE = 1024  # px; larger photographs are shrunk to this long side for MTCNN
CERTAIN = 0.97  # least probability of a face
AGREED = 0.1  # most that landmarks may differ from MTCNN's points on average, of the side of the face's box
#: Where the predictor of landmarks expects a face, fitted to 189 portraits that both detectors found: half the side of
#: its box over the distance of the eyes, and of eyes and mouth, and how far below the eyes its centre lies.
_HALF, _DOWN = 1.19, 0.55
_PX = 200  # side of the box in the upright piece on which landmarks are predicted; as much again is around it


#: Pixels and a box (left, top, right, bottom) to landmarks [68, 2].
Predict = Callable[[np.ndarray, tuple[int, int, int, int]], np.ndarray]


def look_again(image: Image.Image, mtcnn: Mtcnn, predict: Predict) -> tuple[list[np.ndarray], int]:
    """Find faces in a photograph that may lie on its side or stand on its head.

    Args:
        image: RGB.
        mtcnn: finds boxes and five points.
        predict: finds landmarks in a box.

    Returns:
        Landmarks [68, 2] in pixels of `image`, largest face first, and by how many degrees it has to be turned
        clockwise for the faces to be upright: that orientation of four which has the most certain face.
    """
    scale = min(SIDE / max(image.size), 1)
    width, height = (max(round(side * scale), 1) for side in image.size)
    small = image.resize((width, height), Image.Resampling.LANCZOS)
    best, faces, degrees = 0.0, list[np.ndarray](), 0
    for turn in TURNS:
        turned = turn.apply(small)
        found = [face for face in mtcnn.detect(turned) if face.score > CERTAIN]
        agreed = [(face, points) for face in found if (points := _landmarks(turned, face, predict)) is not None]
        if agreed and agreed[0][0].score > best:
            best, degrees = agreed[0][0].score, turn.degrees
            agreed.sort(key=lambda item: -float(np.prod(item[0].box[2:] - item[0].box[:2])))
            faces = [turn.back(points, *small.size) for _, points in agreed]
    to_image = np.array(image.size) / small.size
    return [(points + 0.5) * to_image - 0.5 for points in faces], degrees


def _landmarks(image: Image.Image, face: FoundFace, predict: Predict) -> np.ndarray | None:
    """Return the landmarks of a face, or None where they contradict MTCNN's points."""
    left_eye, right_eye, _, *mouth = face.points
    # The piece is turned until the eyes are level: the predictor knows faces that are tilted by a few degrees.
    quad = oriented_square(left_eye, right_eye, np.mean(mouth, axis=0), 2 * _HALF, 2 * _HALF, _DOWN)
    corner, across, down = quad[0], quad[3] - quad[0], quad[1] - quad[0]
    low, high = _PX // 2, _PX // 2 + _PX
    points = predict(np.asarray(cut_quad(image, quad, 2 * _PX)), (low, low, high, high))
    landmarks = corner + (points + 0.5) / (2 * _PX) @ np.stack([across, down])
    ours = [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[30], landmarks[48], landmarks[54]]
    error = np.linalg.norm(np.stack(ours) - face.points, axis=1).mean()
    return landmarks if error <= AGREED * np.linalg.norm(across) / 2 else None
