"""A tiny backbone, photographs and options for the tests of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.base import params
from ganvert.encoders import BACKBONES
from ganvert.encoders.backbones import Backbone
from ganvert.training import Photos, TrainOptions


class Tiny(Backbone):
    """One convolution, and means of it: no batch normalisation."""

    default_px = 16

    def __init__(self, *, channels: int, px: int, folder: Path | None) -> None:
        super().__init__(channels=channels, px=px, folder=folder)
        self.conv = nn.Conv2d(channels, 32, 3, padding=1)
        self.taps = {px: 32, px // 2: 32, px // 4: 32}

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x = F.leaky_relu(self.conv(images), 0.2)
        return {side: F.adaptive_avg_pool2d(x, side) for side in self.taps}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the backbone."""
    monkeypatch.setitem(BACKBONES, "tiny", Tiny)


def make_waves(n: int, px: int = 64) -> Photos:
    """Smooth pictures in the place of photographs."""
    y, x = np.indices((px, px)) / px
    pictures = [
        127.5 + 100 * np.sin(np.stack([(i % 5 + 1) * x + i * y, i * x - y, (i + 2) * x * y], axis=-1) * 3)
        for i in range(n)
    ]
    return Photos(tuple(f"photo {i}" for i in range(n)), np.stack(pictures).astype(np.uint8))


def make_options(**more: Any) -> TrainOptions:
    """A short training of a tiny encoder; `more` replaces keys."""
    base: dict[str, Any] = {
        "encoder": {"backbone": "tiny", "heads": {"compact": {"width": 8, "code": 16}}},
        "steps": 7,
        "batch": 4,
        "data": {"samples": 8, "px": 64, "validation": 0},
        "optimiser": {"kind": "adam", "lr": 0.003},
        "latent": 1.0,
        "checkpoint_every": 3,
    }
    for name in ("encoder", "data"):
        more[name] = {**base[name], **more.get(name, {})}
    return params.build(TrainOptions, {**base, **more}, "options")


@pytest.fixture
def waves() -> Callable[..., Photos]:
    return make_waves


@pytest.fixture
def options() -> Callable[..., TrainOptions]:
    return make_options
