"""Head pose from landmarks: a generic rigid face under scaled orthographic projection, by least squares."""

from __future__ import annotations

import numpy as np

__all__ = ["FACE_MODEL", "head_pose", "project", "rotation"]

# Landmark index -> (x, y, z) in mm of a frontal adult face: x to the picture's right, y down, z away from the camera,
# origin between the outer eye corners. Widths and heights follow the usual adult means of facial anthropometry
# (intercanthal 32, biocular 89, nose height 50, mouth width 52, nose protrusion about 20), rounded; only points that
# expressions move little, or (mouth corners) that move symmetrically.
FACE_MODEL: dict[int, tuple[float, float, float]] = {
    36: (-44.5, 0.0, 0.0),
    39: (-16.0, 1.0, -7.0),
    42: (16.0, 1.0, -7.0),
    45: (44.5, 0.0, 0.0),
    27: (0.0, -3.0, -20.0),
    30: (0.0, 36.0, -43.0),
    33: (0.0, 47.0, -28.0),
    48: (-26.0, 70.0, -15.0),
    54: (26.0, 70.0, -15.0),
}
WEIGHTS = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5])  # the mouth moves, so it counts half
ITERATIONS = 20


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The 3 x 3 rotation of a head, angles in degrees.

    Yaw is positive when the person looks to the picture's right, pitch when up, roll when the head is turned clockwise
    as seen in the picture. ``R = Rz(roll) Ry(-yaw) Rx(-pitch)`` in the axes of :data:`FACE_MODEL`.
    """
    a, b, c = np.radians([roll, -yaw, -pitch])
    z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    x = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    return z @ y @ x


def project(points: np.ndarray, turn: np.ndarray, scale: float, centre: np.ndarray) -> np.ndarray:
    """Scaled orthographic projection of [n, 3] mm to [n, 2] pixels: `scale` px per mm, origin at `centre`."""
    return scale * points @ turn[:2].T + centre


def head_pose(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, signs as in :func:`rotation`.

    Minimises the weighted squared distance between the landmarks and the projected :data:`FACE_MODEL` over rotation,
    scale and position. The rotation starts from the closed form (affine fit, nearest orthonormal rows) and is refined
    by the alternation that is exact for this projection: complete the unseen depth, solve the 3-D Procrustes problem
    (Kabsch), repeat; every round lowers the error.

    Args:
        landmarks: [68, 2] (x, y) pixels, y down.
    """
    model = np.array(list(FACE_MODEL.values()))
    seen = np.asarray(landmarks, dtype=np.float64)[list(FACE_MODEL)]
    weights = WEIGHTS[:, None] / WEIGHTS.sum()
    model = model - (weights * model).sum(0)
    seen = seen - (weights * seen).sum(0)
    root = np.sqrt(weights)
    affine = np.linalg.lstsq(root * model, root * seen, rcond=None)[0].T  # [2, 3]
    u, _, vt = np.linalg.svd(affine, full_matrices=False)
    turn = _complete(u @ vt)
    for _ in range(ITERATIONS):
        turned = model @ turn.T
        scale = float((weights * turned[:, :2] * seen).sum() / (weights * turned[:, :2] ** 2).sum())
        lifted = np.column_stack([seen / scale, turned[:, 2]])
        u, _, vt = np.linalg.svd((weights * lifted).T @ model)
        turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    yaw = -np.arcsin(np.clip(-turn[2, 0], -1, 1))
    roll = np.arctan2(turn[1, 0], turn[0, 0])
    pitch = -np.arctan2(turn[2, 1], turn[2, 2])
    angles = np.degrees([yaw, pitch, roll])
    return float(angles[0]), float(angles[1]), float(angles[2])


def _complete(rows: np.ndarray) -> np.ndarray:
    return np.vstack([rows, np.cross(rows[0], rows[1])])
