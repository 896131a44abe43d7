"""Head pose from landmarks: least-squares fit of a generic rigid face under scaled orthographic projection."""

from __future__ import annotations

import numpy as np

__all__ = ["FACE_MODEL", "head_pose"]

#: Landmark index -> (x, y, z) in mm of a frontal adult face: x to the image's right, y down, z away from the camera,
#: origin between the outer eye corners. Widths and heights are the usual adult means of facial anthropometry
#: (intercanthal 32, biocular 89, nose height 50, mouth width 52, nose protrusion about 20), rounded. Only points that
#: expressions move little, or symmetrically (mouth corners), are used.
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


def head_pose(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Return yaw, pitch and roll in degrees.

    Yaw is positive when the person looks to the image's right, pitch when up, roll when the head is turned clockwise as
    seen in the image: ``R = Rz(roll) Ry(-yaw) Rx(-pitch)`` in the axes of :data:`FACE_MODEL`.

    Minimises the weighted squared distance between the landmarks and the projected :data:`FACE_MODEL` over rotation,
    scale and position. The rotation starts from the closed form (affine fit, nearest orthonormal rows) and is refined
    by the alternation that is exact for this projection: complete the unseen depth, solve the 3-D Procrustes problem
    (Kabsch), repeat; every round lowers the error.

    Args:
        landmarks: [68, 2] (x, y) pixels, y down.
    """
    model = np.array(list(FACE_MODEL.values()))
    points = np.asarray(landmarks, dtype=np.float64)[list(FACE_MODEL)]
    weights = WEIGHTS[:, None] / WEIGHTS.sum()
    # The best position maps weighted mean to weighted mean, so both are taken away.
    model = model - (weights * model).sum(0)
    points = points - (weights * points).sum(0)
    root = np.sqrt(weights)
    affine = np.linalg.lstsq(root * model, root * points, rcond=None)[0].T  # [2, 3]
    u, _, vt = np.linalg.svd(affine, full_matrices=False)
    upper = u @ vt  # the nearest orthonormal rows
    rotation = np.vstack([upper, np.cross(upper[0], upper[1])])
    for _ in range(ITERATIONS):
        rotated = model @ rotation.T
        scale = float((weights * rotated[:, :2] * points).sum() / (weights * rotated[:, :2] ** 2).sum())
        lifted = np.column_stack([points / scale, rotated[:, 2]])  # the depth that the image does not show
        u, _, vt = np.linalg.svd((weights * lifted).T @ model)
        rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt  # the determinant excludes reflections
    # Entries of Rz(roll) Ry(-yaw) Rx(-pitch): the last row is (sin yaw, -cos yaw sin pitch, cos yaw cos pitch).
    yaw = -np.arcsin(np.clip(-rotation[2, 0], -1, 1))
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    pitch = -np.arctan2(rotation[2, 1], rotation[2, 2])
    angles = np.degrees([yaw, pitch, roll])
    return float(angles[0]), float(angles[1]), float(angles[2])
