"""Synthetic scenes for the tests of aligning and pasting."""

from __future__ import annotations

import cmath
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvert.faces.detect import FaceDetector


@pytest.fixture(scope="session")
def detector(assets: Path) -> FaceDetector:
    """One for all tests: its model takes a second and more to load."""
    return FaceDetector(assets)


@pytest.fixture()
def smooth() -> Callable[[int, int], Image.Image]:
    return _smooth


@pytest.fixture()
def landmarks() -> Callable[..., np.ndarray]:
    return _landmarks


def _smooth(width: int, height: int) -> Image.Image:
    """Slow waves: resampling it loses next to nothing."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 23 + i) * np.cos(y / 31 - i) + np.sin((x + y) / 47 + 2 * i) for i in range(3)]
    return Image.fromarray(np.clip(127 + 55 * np.stack(waves, -1), 0, 255).astype(np.uint8))


def _landmarks(centre: complex, eyes: float, mouth: float, roll: float) -> np.ndarray:
    """68 points of which only eyes and mouth corners mean anything; complex numbers are points."""
    turn = cmath.exp(1j * roll)
    points = np.full(68, centre)
    points[36:42] = centre - eyes / 2 * turn
    points[42:48] = centre + eyes / 2 * turn
    points[48] = centre + (-eyes * 0.4 + 1j * mouth) * turn
    points[54] = centre + (eyes * 0.4 + 1j * mouth) * turn
    return np.stack([points.real, points.imag], -1)
