"""Every preset of presets/encoders trains, on a tiny generator."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganvert.base import params
from ganvert.base.preset_files import ENCODERS, Presets
from ganvert.encoders import Encoder, load_encoder
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.training import Photos, TrainOptions, train

Options = Callable[..., TrainOptions]
Waves = Callable[..., Photos]

_FILES = Presets(ENCODERS, folders=[Path(__file__).parents[3] / "presets"])
PRESETS: dict[str, Any] = {name: _FILES.resolve(name).options for name in _FILES}
#: Every preset, and the parts that its loss has.
PARTS = {
    "wplus": {"latent", "picture"},
    "cpu_wplus_codes": {"latent"},
    "cpu_wplus_pictures": {"latent", "picture"},
    "cpu_basecode": {"feature f16", "picture"},
    "cpu_padinv": {"latent", "picture", "w_norm"},
    "conventional": {"latent"},
    "psp": {"picture", "w_norm"},
    "e4e": {"picture", "delta", "adversary", "discriminator"},
    "idinvert": {"picture", "adversary", "discriminator"},
    "bdinvert": {"picture"},
    "bdinvert8": {"picture"},
    "feature_style": {"picture", "picture in wplus", "own f16"},
    "padinv": {"picture", "w_norm"},
    "restyle_psp": {"picture"},
    "restyle_e4e": {"picture", "delta", "adversary", "discriminator"},
}


def shrunk(preset: dict[str, Any]) -> dict[str, Any]:
    """A preset on a tiny generator, narrow and short; everything that names a part of its loss stays."""
    small = copy.deepcopy(preset)
    encoder = small["encoder"]
    encoder["backbone"] = {"ir50": "ir18", "ir50_all": "ir18", "plain": "plain_narrow"}.get(
        encoder["backbone"], encoder["backbone"]
    )
    encoder["input_px"] = {"residual": 16, "ir18": 32}.get(encoder["backbone"], 64)
    encoder["passes"] = min(encoder.get("passes", 1), 2)
    narrow: dict[str, dict[str, Any]] = {
        "compact": {"width": 8, "code": 16},
        "dense": {"code": 16},
        "map2style": {"width": 8},
        "last": {"width": 8},
        "pooled": {"code": 8},
        "progressive": {"width": 8, "first": 0, "every": 1},
        "padding": {"width": 16, "units": 1},
        "content": {"width": 8},
        "feature": {"width": 8},
        "base_code": {"width": 8},
    }
    for name, head in encoder["heads"].items():
        head.update(narrow[name])
    data = small["data"]
    data |= {"px": 64, "validation": 1}
    if data.get("samples"):
        data["samples"] = 8
    small |= {
        "steps": 2,
        "batch": min(small["batch"], 4 if 0 < data.get("photos", 0) < 1 else 2),
        "checkpoint_every": 1,
        "validate_every": 0,
    }
    if small.get("fade"):
        small["fade"] = 4
    if small.get("adversary", {}).get("kind") == "picture":
        small["adversary"] |= {"px": 32, "base": 128}
    return small


def test_every_preset_is_tried() -> None:
    assert set(PRESETS) == set(PARTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str, tiny_generator: MobileStyleGAN, assets: Path, tmp_path: Path, waves: Waves) -> None:
    training = params.build(TrainOptions, shrunk(PRESETS[name]), name)
    before = Encoder(training.encoder, tiny_generator, assets, training.seed).fingerprint()
    trained = train(tiny_generator, training, tmp_path, photos=waves(6), folder=assets)
    assert [record["step"] for record in trained.records] == [training.first_step, training.first_step + 1]
    for record in trained.records:
        assert set(record) == {"step", *PARTS[name], "total", "gradient"}
        assert all(np.isfinite(value) for value in record.values())
        assert record["gradient"] > 0
    assert trained.encoder.fingerprint() != before
    assert [set(look) for look in trained.validation] == [{"step", "mse_256", "lpips_alex_256"}]
    assert trained.sheet is not None and trained.sheet.size == (256, 512)
    trained.encoder.save(tmp_path / "encoder.safetensors", name)
    loaded = load_encoder(tmp_path / "encoder.safetensors", tiny_generator, assets)
    assert loaded.spec == training.encoder
