"""Warnings of ghosts: where the border is compared, and what is said."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ganvert.editing.fit import Fit, seam_error


def grey(value: int, size: int = 64) -> Image.Image:
    return Image.new("RGB", (size, size), (value, value, value))


@pytest.mark.parametrize("feather", [0.0, 0.1, 0.5])
def test_an_equal_difference_everywhere_is_the_seam_error(feather: float) -> None:
    assert seam_error(grey(100), grey(110, 128), feather) == pytest.approx(10)
    assert seam_error(grey(100), grey(100), feather) == 0


def test_what_differs_away_from_the_border_does_not_count() -> None:
    pixels = np.full((256, 256, 3), 100, np.uint8)
    pixels[64:192, 64:192] = 255  # the face: the soft edge of 0.1 ends 26 px inside the crop
    assert seam_error(grey(100, 256), Image.fromarray(pixels), 0.1) == 0
    pixels[:] = 100
    pixels[:26] = 140  # one of four sides
    assert seam_error(grey(100, 256), Image.fromarray(pixels), 0.1) == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (Fit(13.2, 0.46), []),
        (Fit(7.6), []),
        (Fit(13.2, 0.69), ["identity distance 0.69"]),
        (Fit(23.6, 0.45), ["border 24 grey levels"]),
        (Fit(17.6, 0.76), ["identity distance 0.76", "border 18 grey levels", "best"]),
    ],
)
def test_the_warning_has_figures_and_a_remedy(fit: Fit, words: list[str]) -> None:
    assert bool(fit.warning) == bool(words)
    assert all(word in fit.warning for word in words)
    assert "\n" not in fit.warning
