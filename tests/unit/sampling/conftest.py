"""What the store draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.sampling import (
    store,
)
from ganvert.sampling.draw import draw


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the seeds in the order in which they are drawn."""
    seeds_drawn: list[int] = []

    def counted(generator: MobileStyleGAN, seeds: Sequence[int], *more: Any) -> Any:
        seeds_drawn.extend(seeds)
        return draw(generator, seeds, *more)

    monkeypatch.setattr(store, "draw", counted)
    return seeds_drawn
