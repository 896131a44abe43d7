"""Photographs that lie on their side or stand on their head, and how points on them come back."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

__all__ = ["TURNS", "Turn"]


@dataclasses.dataclass(frozen=True)
class Turn:
    """A turn of a photograph by quarters.

    Attributes:
        degrees: clockwise.
        method: how Pillow makes it (Pillow counts the other way round); None leaves the photograph as it is.
        rows: factors of x, y, width - 1 and height - 1 that make x and y in the photograph of a point after the turn.
    """

    degrees: int
    method: Image.Transpose | None
    rows: tuple[tuple[int, int, int, int], tuple[int, int, int, int]]

    def apply(self, image: Image.Image) -> Image.Image:
        """Return the photograph turned."""
        return image if self.method is None else image.transpose(self.method)

    def back(self, points: np.ndarray, width: int, height: int) -> np.ndarray:
        """Return points [N, 2] of the turned photograph in the photograph of this width and height."""
        ends = np.broadcast_to([width - 1, height - 1], points.shape)
        return np.concatenate([points, ends], axis=1) @ np.array(self.rows).T


#: All four, the photograph as it is first.
TURNS = (
    Turn(0, None, ((1, 0, 0, 0), (0, 1, 0, 0))),
    Turn(90, Image.Transpose.ROTATE_270, ((0, 1, 0, 0), (-1, 0, 0, 1))),
    Turn(180, Image.Transpose.ROTATE_180, ((-1, 0, 1, 0), (0, -1, 0, 1))),
    Turn(270, Image.Transpose.ROTATE_90, ((0, -1, 1, 0), (1, 0, 0, 0))),
)
