"""A generator with the code sizes of StyleGAN2 at 1024 px, and what the golden files hold."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import pytest

from ganvert.generators.mobile_stylegan import MobileStyleGAN

Golden = Callable[[str, Sequence[int], float, float], np.ndarray]


def golden(name: str, shape: Sequence[int], at: float, by: float) -> np.ndarray:
    """The numbers of a golden file: uniform over 65,536 levels, `at` plus or minus `by`, seeded by the array's name."""
    draws = np.random.RandomState(zlib.crc32(name.encode())).bytes(2 * prod(shape))
    levels = np.frombuffer(draws, "<u2").astype(np.float64)
    return (at + by * ((levels - 32767.5) / 32768)).astype(np.float32).reshape(shape)


@pytest.fixture(scope="session", name="golden")
def golden_fixture() -> Golden:
    """The function that makes the numbers of golden files."""
    return golden


@pytest.fixture(scope="session")
def wide_generator() -> MobileStyleGAN:
    """Codes of 18 rows of 512 and a feature of 64 channels at 16 px, in a network that is small otherwise."""
    generator = MobileStyleGAN([64, 64, 64, 8, 8, 8, 8, 8, 8], z_dim=512, w_dim=512, mapping_layers=2)
    return generator.eval().requires_grad_(False)
