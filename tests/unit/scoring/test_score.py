"""What an edited picture is compared with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganvert.scoring.metrics.base import NamedMetric
from ganvert.scoring.score import score_edits, score_reconstructions
from ganvert.study.sections.drawn import identities_of

#: A face's descriptor that is the picture itself.
IDENTITY = NamedMetric("identity_toy", None, False, "not_detected", lambda a, b: (a - b).square().mean((1, 2, 3)))


@pytest.fixture(scope="module")
def crop() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def drawn(crop: Image.Image) -> Image.Image:
    """What a generator of grey pictures draws of the crop at best."""
    return crop.convert("L").convert("RGB")


def value(rows: list[dict[str, Any]], metric: str) -> float:
    return next(float(row["value"]) for row in rows if row["metric"] == metric)


def test_an_edit_is_compared_with_the_photograph_as_its_generator_could_draw_it(
    crop: Image.Image, drawn: Image.Image
) -> None:
    for channels, least, most in ((1, 0, 1e-4), (3, 0.1, 1)):
        rows = score_edits({}, drawn, drawn, crop, [IDENTITY], None, channels)
        assert least <= value(rows, "identity_photo_toy") <= most and value(rows, "identity_toy") == 0
        like = score_reconstructions([{}], [drawn], [crop], [IDENTITY], channels)
        assert value(rows, "identity_photo_toy") == value(like, "identity_toy")


def test_so_it_is_in_studies(crop: Image.Image, drawn: Image.Image) -> None:
    tools: Any = SimpleNamespace(generator=SimpleNamespace(image_channels=1), identities=[IDENTITY])
    subject: Any = SimpleNamespace(reconstruction=drawn, crop=crop)
    subject.partner = SimpleNamespace(reconstruction=drawn, crop=crop)
    rows = identities_of(("edit", 1.0), drawn, subject, tools)
    assert value(rows, "identity_photo_toy") < 1e-4 and value(rows, "partner_identity_photo_toy") < 1e-4
