"""Head pose against rotated models whose angles are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ganvert.faces.pose import FACE_MODEL, head_pose

# Index of each landmark's mirror image, for the points that pose uses.
MIRROR = {36: 45, 39: 42, 42: 39, 45: 36, 27: 27, 30: 30, 33: 33, 48: 54, 54: 48}


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return ``Rz(roll) Ry(-yaw) Rx(-pitch)`` for angles in degrees."""
    a, b, c = np.radians([roll, -yaw, -pitch])
    z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    x = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    return z @ y @ x


def landmarks_of(yaw: float, pitch: float, roll: float, noise: float = 0.0) -> np.ndarray:
    """Project the rotated model with 2.5 px per mm, its origin at (300, 200)."""
    points = np.zeros((68, 2))
    model = np.array(list(FACE_MODEL.values()))
    points[list(FACE_MODEL)] = 2.5 * model @ rotation(yaw, pitch, roll)[:2].T + np.array([300, 200])
    return points + np.random.default_rng(0).normal(0, noise, points.shape)


@pytest.mark.parametrize("angles", list(itertools.product([-40, -15, 0, 25], [-20, 0, 15], [-30, 0, 45])))
def test_recovers_known_angles(angles: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(head_pose(landmarks_of(*angles)), angles, atol=0.5)
    np.testing.assert_allclose(head_pose(landmarks_of(*angles, noise=0.5)), angles, atol=2.0)


def test_signs() -> None:
    frontal = landmarks_of(0, 0, 0)
    assert landmarks_of(20, 0, 0)[30, 0] > frontal[30, 0]  # looking to the picture's right moves the nose tip right
    assert landmarks_of(0, 20, 0)[30, 1] < frontal[30, 1]  # looking up moves it up
    turned = landmarks_of(0, 0, 20)
    assert turned[45, 1] > turned[36, 1]  # clockwise: the eye on the right sinks


@pytest.mark.parametrize("angles", [(20, 5, 10), (-30, -10, 5), (7, 12, -25)])
def test_mirror_flips_yaw_and_roll(angles: tuple[float, float, float]) -> None:
    points = landmarks_of(*angles, noise=0.7)
    mirrored = np.zeros_like(points)
    for index, other in MIRROR.items():
        mirrored[other] = (640 - points[index, 0], points[index, 1])
    yaw, pitch, roll = head_pose(points)
    np.testing.assert_allclose(head_pose(mirrored), (-yaw, pitch, -roll), atol=0.05)


def test_model_is_symmetric() -> None:
    for index, other in MIRROR.items():
        x, y, z = FACE_MODEL[index]
        assert FACE_MODEL[other] == (-x, y, z)
