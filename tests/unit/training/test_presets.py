"""Every preset of presets/encoders trains, on a tiny generator."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganvert.base import params
from ganvert.base.preset_files import ENCODERS, Presets
from ganvert.encoders import Encoder, load_encoder
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.training import Photos, TrainOptions, setup, train
from ganvert.training.adversary import Adversary
from ganvert.training.loop import train_step
from ganvert.training.optimisers import decayed_learning_rate
from ganvert.training.setup import prepare

Options = Callable[..., TrainOptions]
Waves = Callable[..., Photos]

_FILES = Presets(ENCODERS, folders=[Path(__file__).parents[3] / "presets"])
PRESETS: dict[str, Any] = {name: _FILES.resolve(name).options for name in _FILES}
#: Every preset, and the parts that its loss has.
PARTS = {
    "wplus": {"latent", "picture"},
    "cpu_wplus_codes": {"latent"},
    "cpu_wplus_pictures": {"latent", "picture"},
    "cpu_refined": {"picture"},
    "cpu_refined_samples": {"feature f16", "picture"},
    "cpu_refined_vgg": {"picture"},
    "cpu_hfgi": {"picture", "alignment"},
    "cpu_padinv": {"latent", "picture", "w_norm"},
    "cpu_wplus_drawn": {"picture"},
    "cpu_wplus_fused": {"picture"},
    "cpu_wplus_identity": {"picture", "w_norm"},
    "parsing_codes": {"latent"},
    "parsing_pictures": {"latent", "picture"},
    "parsing_tuned": {"latent", "picture"},
    "conventional": {"latent"},
    "psp": {"picture", "w_norm"},
    "e4e": {"picture", "delta", "adversary", "discriminator"},
    "idinvert": {"picture", "adversary", "discriminator"},
    "bdinvert": {"picture"},
    "bdinvert8": {"picture"},
    "feature_style": {"picture", "picture in wplus", "own f16"},
    "padinv": {"picture", "w_norm"},
    "hfgi": {"picture", "alignment"},
    "restyle_psp": {"picture"},
    "restyle_e4e": {"picture", "delta", "adversary", "discriminator"},
}


def shrunk(preset: dict[str, Any]) -> dict[str, Any]:
    """A preset on a tiny generator, narrow and short; everything that names a part of its loss stays."""
    small = copy.deepcopy(preset)
    encoder = small["encoder"]
    encoder["space"] = encoder["space"].replace("c64", "c32")
    encoder["backbone"] = {"ir50": "ir18", "iresnet50": "ir18", "plain": "plain_narrow"}.get(
        encoder["backbone"], encoder["backbone"]
    )
    encoder["input_px"] = {"residual": 16, "ir18": 32}.get(encoder["backbone"], 64)
    encoder["passes"] = min(encoder.get("passes", 1), 2)
    narrow: dict[str, dict[str, Any]] = {
        "compact": {"width": 8, "code": 16},
        "consultation": {"size": 32, "width": 8, "widths": [[4, 4, 8], [4, 4, 8, 8]]},
        "dense": {"code": 16},
        "map2style": {"width": 8},
        "last": {"width": 8},
        "pooled": {"code": 8},
        "progressive": {"width": 8, "first": 0, "every": 1},
        "padding": {"width": 16, "units": 1},
        "content": {"width": 8},
        "feature": {"width": 8},
        "fused": {"code": 8, "narrow": 4},
        "refined": {"width": 8},
        "base_code": {"width": 8},
        "identity": {"code": 8, "narrow": 4},
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
def test_presets(
    name: str,
    tiny_generator: MobileStyleGAN,
    assets: Path,
    tmp_path: Path,
    waves: Waves,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(setup, "_DRAFT_SEEN", 16)  # eight samples twice, for drafts that compare descriptors
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


# --- rules of papers and releases, by independent formulas


def published(name: str) -> TrainOptions:
    return params.build(TrainOptions, PRESETS[name], name)


@pytest.mark.parametrize("name", ["e4e", "restyle_e4e"])
def test_e4e_discriminator_has_plain_adam(name: str, tiny_generator: MobileStyleGAN) -> None:
    """The releases give Adam the rate alone, so that everything else is PyTorch's default."""
    options = published(name).adversary
    assert options is not None and (options.weight, options.r1, options.r1_every, options.pool) == (0.1, 10.0, 16, 50)
    adversary = Adversary(options, tiny_generator, None, 0)
    plain = torch.optim.Adam(adversary.judge.parameters(), lr=2e-5)
    assert adversary.adam.defaults == plain.defaults
    adversary.set_decay(0.5)  # the encoder's rate is constant there, and the discriminator's is its own anyway
    assert adversary.adam.param_groups[0]["lr"] == 2e-5


@pytest.mark.parametrize("name", ["e4e", "restyle_e4e"])
def test_e4e_offsets_come_one_by_one(name: str) -> None:
    """Offset i at step 20,000 + 2,000 (i - 1), in both releases."""
    head = published(name).encoder.heads["progressive"]
    assert (head["first"], head["every"], head.get("coarsest", False)) == (20000, 2000, name == "restyle_e4e")
    assert published(name).encoder.passes == (5 if name == "restyle_e4e" else 1)


def test_idinvert_decays_both_rates() -> None:
    """0.8 to the power of the step over a whole quarter of 14 million images in batches of 128, without jumps."""
    options = published("idinvert")
    steps = 14_000 * 1000 // 128
    assert options.steps == steps and options.adversary is not None and options.adversary.decay
    for step in (0, 1, 27343, 50000, steps - 1):
        wanted = 1e-4 * 0.8 ** (step / (steps // 4))
        assert decayed_learning_rate(step, steps, options.optimiser) == pytest.approx(wanted, rel=1e-12)
    for adam in (options.optimiser, options.adversary):
        assert (adam.lr, adam.betas) == (1e-4, (0.9, 0.99))


@pytest.mark.parametrize("decay", [True, False])
def test_discriminator_decays_where_it_should(
    decay: bool, tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options
) -> None:
    adam = {"kind": "adam", "lr": 0.004, "decay": "exponential", "decay_factor": 0.25, "decay_every": 2}
    adversary = {"kind": "latent", "weight": 0.1, "lr": 0.03, "decay": decay}
    setup = prepare(
        tiny_generator, options(steps=3, optimiser=adam, adversary=adversary), tmp_path, None, None, None, None
    )
    for step in range(3):
        train_step(setup, step)
        assert setup.state.optimiser.param_groups[0]["lr"] == pytest.approx(0.004 * 0.5**step)
        assert setup.state.adversary is not None
        lr = setup.state.adversary.adam.param_groups[0]["lr"]
        assert lr == pytest.approx(0.03 * 0.5**step if decay else 0.03)
