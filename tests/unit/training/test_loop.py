"""Training encoders of every kind on tiny generators; this file is also what two processes run."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from ganvert.base import params
from ganvert.base.errors import CheckpointError, GanvertError, ParamsError, UnsupportedError
from ganvert.base.preset_files import ENCODERS, Presets
from ganvert.compute.random import normal
from ganvert.encoders import BACKBONES, Encoder, load_encoder
from ganvert.encoders.backbones import Backbone
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import area_resize
from ganvert.spaces.feature import point_of_size
from ganvert.training import Photos, Trained, TrainOptions, loop, train
from ganvert.training.adversary import Adversary
from ganvert.training.distributed import leave, world
from ganvert.training.regularisers import REGULARISERS

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
    monkeypatch.setitem(BACKBONES, "tiny", Tiny)


def waves(n: int, px: int = 64) -> Photos:
    """Smooth pictures in the place of photographs."""
    y, x = np.indices((px, px)) / px
    pictures = [
        127.5 + 100 * np.sin(np.stack([(i % 5 + 1) * x + i * y, i * x - y, (i + 2) * x * y], axis=-1) * 3)
        for i in range(n)
    ]
    return Photos(tuple(f"photo {i}" for i in range(n)), np.stack(pictures).astype(np.uint8))


def options(**more: Any) -> TrainOptions:
    """A short training of a tiny encoder; `more` replaces keys."""
    told: dict[str, Any] = {
        "encoder": {"backbone": "tiny", "heads": {"compact": {"width": 8, "code": 16}}},
        "steps": 7,
        "batch": 4,
        "data": {"samples": 8, "px": 64, "validation": 0},
        "optimiser": {"kind": "adam", "lr": 0.003},
        "latent": 1.0,
        "checkpoint_every": 3,
    }
    for name in ("encoder", "data"):
        more[name] = {**told[name], **more.get(name, {})}
    return params.build(TrainOptions, {**told, **more}, "options")


def same(a: Trained, b: Trained) -> bool:
    state, other = a.encoder.state_dict(), b.encoder.state_dict()
    return state.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in state.items())


# --- the presets that come with ganvert


def shrunk(preset: dict[str, Any]) -> dict[str, Any]:
    """A preset on a tiny generator, narrow and short; everything that names a part of its loss stays."""
    told = copy.deepcopy(preset)
    encoder = told["encoder"]
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
    data = told["data"]
    data |= {"px": 64, "validation": 1}
    if data.get("samples"):
        data["samples"] = 8
    told |= {"steps": 2, "batch": min(told["batch"], 4), "checkpoint_every": 1, "validate_every": 0}
    if told.get("fade"):
        told["fade"] = 4
    if told.get("adversary", {}).get("kind") == "picture":
        told["adversary"] |= {"px": 32, "base": 128}
    return told


def test_every_preset_is_tried() -> None:
    assert set(PRESETS) == set(PARTS)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str, tiny_generator: MobileStyleGAN, assets: Path, tmp_path: Path) -> None:
    told = params.build(TrainOptions, shrunk(PRESETS[name]), name)
    before = Encoder(told.encoder, tiny_generator, assets, told.seed).fingerprint()
    trained = train(tiny_generator, told, tmp_path, photos=waves(6), folder=assets)
    assert [record["step"] for record in trained.records] == [told.first_step, told.first_step + 1]
    for record in trained.records:
        assert set(record) == {"step", *PARTS[name], "total", "gradient"}
        assert all(np.isfinite(value) for value in record.values())
        assert record["gradient"] > 0
    assert trained.encoder.fingerprint() != before
    assert [set(look) for look in trained.validation] == [{"step", "mse_256", "lpips_alex_256"}]
    assert trained.sheet is not None and trained.sheet.size == (256, 512)
    trained.encoder.save(tmp_path / "encoder.safetensors", name)
    loaded = load_encoder(tmp_path / "encoder.safetensors", tiny_generator, assets)
    assert loaded.spec == told.encoder


# --- that they learn

#: Encoder, what it is compared by, steps, learning rate.
FITS: dict[str, tuple[dict[str, Any], dict[str, Any], int, float]] = {
    "compact": ({"heads": {"compact": {"width": 32, "code": 64, "drop": 0.0}}}, {"latent": 1.0}, 100, 0.01),
    "conventional": ({"backbone": "residual", "input_px": 8, "heads": {"dense": {}}}, {"latent": 1.0}, 120, 0.02),
    "psp": ({"neck": "fpn", "heads": {"map2style": {"width": 32}}}, {"latent": 1.0}, 120, 0.01),
    "e4e": (
        {"neck": "fpn", "heads": {"progressive": {"width": 32, "first": 5, "every": 2}}},
        {"latent": 1.0},
        150,
        0.01,
    ),
    "restyle": ({"heads": {"last": {"width": 32}}, "passes": 2}, {"latent": 1.0}, 150, 0.02),
    "pooled": ({"heads": {"pooled": {"code": 64}}}, {"latent": 1.0}, 150, 0.01),
    "base code": (
        {"space": "f4/wplus", "heads": {"base_code": {"size": 4, "width": 128}}},
        {"feature": 1.0},
        250,
        0.02,
    ),
    "content": ({"space": "fs4/wplus", "heads": {"content": {"size": 4, "width": 64}}}, {"feature": 1.0}, 300, 0.05),
    "feature": ({"space": "f4/wplus", "heads": {"feature": {"size": 4, "width": 128}}}, {"feature": 1.0}, 200, 0.003),
    "padinv": (
        {"space": "pad/wplus", "heads": {"pooled": {"code": 64}, "padding": {"width": 16, "units": 0}}},
        {"latent": 1.0, "objective": [{"loss": "mse"}]},
        200,
        0.01,
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_over_fits_eight_samples(name: str, tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    encoder, weights, steps, lr = FITS[name]
    told = options(
        encoder=encoder,
        **{"latent": 0.0, **weights},
        steps=steps,
        batch=8,
        optimiser={"kind": "adam", "lr": lr, "decay": "cosine"},
        clip=0.0,
        checkpoint_every=1000,
    )
    records = train(tiny_generator, told, tmp_path).records
    first, last = (
        {part: float(np.mean([record[part] for record in some])) for part in some[0]}
        for some in (records[:2], records[-5:])
    )
    for part in {"latent", "feature f4"} & last.keys():
        # 1 is the error of the mean code. Maps of 4 px differ less: their mean is off by 0.1 of their square.
        assert last[part] < 0.05, (first, last)
    assert last["total"] < 0.1 * first["total"], (first, last)


# --- killed and started again

RESUMED: dict[str, dict[str, Any]] = {
    "ranger, mean of weights, dropout": {
        "optimiser": {"kind": "ranger", "lr": 0.003, "betas": (0.95, 0.999)},
        "ema": 0.9,
    },
    "game of rows": {
        "adversary": {"kind": "latent", "weight": 0.1, "lr": 0.001, "pool": 6, "r1_every": 2},
        "regularise": {"delta": 0.001},
    },
    "photographs, changed": {
        "data": {
            "photos": 0.4,
            "photo_variants": 2,
            "sample_variants": 2,
            "validation": 2,
            "augment": {"mirror": True, "colour": 0.3, "blur": 2.0, "noise": 0.1, "rotate": 5.0},
        },
        "objective": [{"loss": "mse"}],
        "validate_every": 2,
        "ema": 0.5,
    },
    "game of pictures, new samples": {
        "latent": 0.0,
        "objective": [{"loss": "mse"}],
        "data": {"samples": 0, "photos": 0.5},
        "adversary": {"kind": "picture", "weight": 0.1, "px": 16, "base": 64, "r1_every": 2},
    },
    "batch normalisation, falling rate": {
        "encoder": {"space": "f8/wplus", "backbone": "plain_narrow", "heads": {"base_code": {"width": 8, "size": 8}}},
        "latent": 0.0,
        "feature": 1.0,
        "optimiser": {"kind": "adamw", "lr": 0.003, "weight_decay": 0.1, "decay": "cosine"},
    },
    "two passes, growing": {
        "encoder": {"heads": {"progressive": {"width": 8, "first": 2, "every": 2}}, "passes": 2},
        "objective": [{"loss": "mse"}],
    },
    "drafts": {"picture": "draft", "objective": [{"loss": "mse"}]},
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_killed_run_resumes_to_the_same_bits(
    name: str, tiny_generator: MobileStyleGAN, assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, photos = options(**RESUMED[name]), waves(7)
    whole = train(tiny_generator, told, tmp_path / "whole", photos=photos, folder=assets)
    original, steps = loop._Run.step, []

    def dying(self: loop._Run, step: int) -> None:
        steps.append(step)
        original(self, step)
        if len(steps) == 5:  # behind the checkpoint of three steps, in the middle of the next three
            raise KeyboardInterrupt

    monkeypatch.setattr(loop._Run, "step", dying)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_generator, told, tmp_path / "killed", photos=photos, folder=assets)
    torch.manual_seed(5)  # nothing depends on where the process stands
    resumed = train(tiny_generator, told, tmp_path / "killed", photos=photos, folder=assets)
    assert steps == [0, 1, 2, 3, 4, 3, 4, 5, 6]
    assert same(whole, resumed)
    assert resumed.records == whole.records and len(whole.records) == 7
    assert resumed.validation == whole.validation
    (one,), (other,) = ((tmp_path / run / "checkpoints").glob("*.safetensors") for run in ("whole", "killed"))
    state, again = load_file(one), load_file(other)
    assert one.name == other.name and state.keys() == again.keys()
    assert [key for key, value in state.items() if not torch.equal(value, again[key])] == []
    parts = {key.partition(".")[0] for key in state}
    wanted = {"model", "optimiser", "told"}
    assert parts == wanted | ({"ema"} if told.ema else set()) | ({"adversary"} if told.adversary else set())

    finished = train(tiny_generator, told, tmp_path / "killed", photos=photos, folder=assets)  # nothing is left to do
    assert len(steps) == 9
    assert same(finished, whole) and finished.records == whole.records
    assert (finished.sheet is None) == (whole.sheet is None)


def test_checkpoints_of_other_runs_are_left_alone(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    def go(folder: str, photos: Photos | None = None, **more: Any) -> Trained:
        return train(tiny_generator, options(**more), tmp_path / folder, photos=photos)

    def count() -> int:
        return len(list((tmp_path / "one/checkpoints").glob("*.safetensors")))

    first = go("one")
    other = go("one", seed=1)
    assert same(other, go("fresh", seed=1))
    assert not same(first, other)
    assert count() == 2
    assert same(first, go("one", checkpoint_every=5, validate_every=2))  # decide nothing: the same run
    assert count() == 2
    mixed = {"data": {"photos": 0.5}, "objective": [{"loss": "mse"}]}
    assert not same(go("one", waves(4), **mixed), go("one", waves(5), **mixed))  # other photographs: another run
    assert count() == 4


# --- several processes


def small_generator() -> MobileStyleGAN:
    generator = MobileStyleGAN([8, 8, 8], z_dim=8, w_dim=8, mapping_layers=1)
    with torch.no_grad():
        for i, (name, value) in enumerate(generator.state_dict().items()):
            value.copy_(0.3 * normal([i], value.shape)[0] + float(name.endswith("bias") and "affine" in name))
    return generator.eval().requires_grad_(False)


def shared(out: Path) -> Trained:
    told = options(
        encoder={"heads": {"compact": {"width": 8, "code": 16, "drop": 0.0}}},
        batch=5,  # shares of three and two
        steps=6,
        data={
            "px": 32,
            "photos": 0.3,
            "photo_variants": 2,
            "augment": {"mirror": True, "colour": 0.3, "noise": 0.1},
        },
        optimiser={"kind": "ranger", "lr": 0.003, "betas": (0.95, 0.999)},
        objective=[{"loss": "mse"}],
        objective_on="photos",  # in some steps one process has none
        adversary={"kind": "latent", "weight": 0.1, "lr": 0.001, "pool": 4, "r1_every": 2},
        regularise={"w_norm": 0.01},
        ema=0.9,
        clip=0.5,
    )
    return train(small_generator(), told, out / "work", photos=waves(5, 32))


def process(out: Path) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    BACKBONES["tiny"] = Tiny
    trained, here = shared(out), world()
    torch.save({"state": trained.encoder.state_dict(), "records": trained.records}, out / f"{here.rank}.pt")
    leave()


@pytest.mark.slow
def test_two_processes_are_as_one(tmp_path: Path, in_two_processes: Callable[[Path, Path], None]) -> None:
    in_two_processes(Path(__file__), tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    one = shared(tmp_path / "alone")
    assert any("picture" not in record for record in one.records) or len(one.records) == 6
    for record, a, b in zip(one.records, first["records"], second["records"], strict=True):
        assert a == b
        assert a == pytest.approx(record, rel=1e-4, abs=1e-6)
    for name, value in one.encoder.state_dict().items():
        assert torch.equal(first["state"][name], second["state"][name]), name
        torch.testing.assert_close(first["state"][name], value, rtol=1e-5, atol=1e-5)
    assert len(list((tmp_path / "work/checkpoints").iterdir())) == 1


# --- what a step does


def a_run(generator: Generator, told: TrainOptions, work: Path, photos: Photos | None = None) -> loop._Run:
    return loop._Run(generator, told, work, None, photos, None, None)


def test_the_generator_is_left_alone(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    generator = copy.deepcopy(tiny_generator).requires_grad_(True)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    adversary = {"kind": "picture", "weight": 0.1, "px": 16, "base": 64}
    train(generator, options(steps=2, objective=[{"loss": "mse"}], adversary=adversary), tmp_path)
    for name, parameter in generator.named_parameters():
        assert parameter.grad is None and not parameter.requires_grad, name
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not generator.training


def test_regularisers_in_closed_form(tiny_generator: MobileStyleGAN) -> None:
    w_avg = tiny_generator.w_avg
    ws = w_avg + torch.zeros(2, tiny_generator.num_ws, tiny_generator.w_dim)
    ws[1, 0, 3] += 3.0
    ws[1, 2, 5] += 4.0
    rows = tiny_generator.num_ws
    found = {name: penalty({"ws": ws}, w_avg).tolist() for name, penalty in REGULARISERS.items()}
    assert found == {
        "w_norm": pytest.approx([0.0, 5.0], abs=1e-5),
        # Row 2 is five away from the first one, all others three.
        "delta": pytest.approx([0.0, 5.0 + 3.0 * (rows - 2)], abs=1e-4),
    }


def test_rows_join_one_after_the_other(
    tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = loop._Run._predict, []

    def spying(self: loop._Run, *told: Any) -> dict[str, Tensor]:
        prediction = original(self, *told)
        seen.append([i for i in range(1, 8) if not torch.equal(prediction["ws"][:, i], prediction["ws"][:, 0])])
        return prediction

    monkeypatch.setattr(loop._Run, "_predict", spying)
    head = {"progressive": {"width": 8, "first": 102, "every": 2}}
    train(tiny_generator, options(encoder={"heads": head}, first_step=100, steps=6), tmp_path)
    assert seen == [[], [], [1], [1], [1, 2], [1, 2]]


FEATURES = {
    "space": "fs16/wplus",
    "heads": {"pooled": {}, "feature": {"size": 16, "width": 8}},
}


def test_a_feature_fades_in(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    run = a_run(tiny_generator, options(encoder=FEATURES, objective=[{"loss": "mse"}], fade=10), tmp_path)
    items = run.data.items(0, 4)
    prediction = run.encoder.encode(run.data.pictures(items)[0])
    ws, point = prediction["ws"], point_of_size(tiny_generator, 16).name
    own = run._feature(ws, "f16")

    def drawn(number: int) -> Tensor:
        return run._drawn(items, prediction, range(4), number, run.space)

    def mixed(share: float) -> Tensor:
        feature = torch.lerp(own, prediction["f16"], share)
        return tiny_generator.synthesize(SynthesisInput(ws=ws, features={point: feature}))

    alone = tiny_generator.synthesize(ws=ws)
    torch.testing.assert_close(mixed(0.0), alone)
    for number, share in ((0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (1000, 1.0)):
        torch.testing.assert_close(drawn(number), mixed(share))
    far = (drawn(9) - alone).square().mean()
    assert (drawn(0) - alone).square().mean() < 0.1 * far


def test_a_second_space_is_compared_too(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    told = options(
        encoder=FEATURES, steps=1, latent=0.0, objective=[{"loss": "mse"}], also="wplus", own_feature=0.5, seed=3
    )
    (record,) = train(tiny_generator, told, tmp_path).records
    assert set(record) == {"step", "picture", "picture in wplus", "own f16", "total", "gradient"}
    run = a_run(tiny_generator, told, tmp_path / "other")
    seen, target = run.data.pictures(run.data.items(0, 4))
    prediction = run.encoder.encode(seen)
    picture, plain = run.encoder.draw(prediction), tiny_generator.synthesize(ws=prediction["ws"])
    wanted = {
        "picture": float((picture - target).square().mean()),
        "picture in wplus": float((plain - target).square().mean()),
        "own f16": float((prediction["f16"] - run._feature(prediction["ws"], "f16")).square().mean()),
    }
    assert {name: record[name] for name in wanted} == pytest.approx(wanted, rel=1e-4)
    weighted = record["picture"] + record["picture in wplus"] + 0.5 * record["own f16"]
    assert record["total"] == pytest.approx(weighted, rel=1e-5)


def test_a_feature_is_compared_with_the_generators_own(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    """The error of the feature over its mean square; that of ws over the variance of w, as said in the options."""
    (record,) = train(tiny_generator, options(encoder=FEATURES, steps=1, feature=2.0), tmp_path).records
    run = a_run(tiny_generator, options(encoder=FEATURES, feature=2.0), tmp_path / "other")
    items = run.data.items(0, 4)
    prediction = run.encoder.encode(run.data.pictures(items)[0])
    truth = run.data.ws_of([item.index for item in items])
    error = prediction["f16"] - run._feature(truth, "f16")
    strength = run._feature(run.data.ws_of(range(32)), "f16").square().mean()
    assert record["feature f16"] == pytest.approx(float(error.square().mean() / strength), rel=1e-4)
    assert run.spread is not None
    w = tiny_generator.map_to_w(normal(range(4096), (16,)))
    torch.testing.assert_close(run.spread, w.std(dim=0))
    error = (prediction["ws"] - truth) / run.spread
    assert record["latent"] == pytest.approx(float(error.square().mean()), rel=1e-4)
    assert record["total"] == pytest.approx(record["latent"] + 2 * record["feature f16"], rel=1e-5)


def test_later_passes_do_not_train_earlier_ones(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    spec = {"heads": {"last": {"width": 8}}, "passes": 3}
    told = options(encoder=spec, steps=1, clip=0.0, latent=0.0, objective=[{"loss": "mse"}])
    (record,) = train(tiny_generator, told, tmp_path).records
    run = a_run(tiny_generator, told, tmp_path / "other")
    encoder, target = run.encoder, run.data.pictures(run.data.items(0, 4))[1]
    small, before, losses = area_resize(target, 16), run.encoder.mean(4), []
    sums = [torch.zeros_like(p) for p in encoder.parameters()]
    for _ in range(3):
        now = encoder.correct(small, before)
        loss = (tiny_generator.synthesize(ws=now["ws"]) - target).square().mean()
        for total, gradient in zip(sums, torch.autograd.grad(loss, list(encoder.parameters())), strict=True):
            total += gradient
        before = {"ws": now["ws"].detach()}
        losses.append(float(loss.detach()))
    assert record["picture"] == pytest.approx(losses[-1], rel=1e-4)
    norm = torch.cat([total.flatten() for total in sums]).norm()
    assert record["gradient"] == pytest.approx(float(norm), rel=1e-4)


def test_steps_that_have_nothing_to_compare(
    tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one photograph in four pictures and two a step, every other step has none."""
    original, judged = Adversary.update, []

    def spying(self: Adversary, real: Tensor | None, fake: Tensor, step: int) -> float:
        judged.append(len(fake))
        return original(self, real, fake, step)

    monkeypatch.setattr(Adversary, "update", spying)
    told = options(
        steps=4,
        batch=2,
        latent=0.0,
        data={"photos": 0.25},
        objective=[{"loss": "mse"}],
        objective_on="photos",
        adversary={"kind": "picture", "weight": 0.1, "px": 16, "base": 64},
    )
    records = train(tiny_generator, told, tmp_path, photos=waves(3)).records
    has = ["picture" in record for record in records]
    assert sorted(has) == [False, False, True, True]
    assert judged == [int(there) for there in has]  # photographs never play the part of drawn pictures
    assert all(record["total"] == 0 and record["gradient"] == 0 for record in records if "picture" not in record)
    for record in records:
        if "picture" in record:
            assert record["total"] == pytest.approx(record["picture"] + 0.1 * record["adversary"], rel=1e-5)


# --- where it starts, and what it refuses


def test_going_on_from_a_file(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    first = train(tiny_generator, options(), tmp_path / "first")
    path = tmp_path / "encoder.safetensors"
    first.encoder.save(path, "note")
    slow = {"optimiser": {"kind": "adam", "lr": 1e-9}, "first_step": 7, "steps": 2}
    more = train(tiny_generator, options(**slow), tmp_path / "second", start=path)
    assert [record["step"] for record in more.records] == [7, 8]
    for name, value in load_encoder(path, tiny_generator).trained_state().items():
        torch.testing.assert_close(more.encoder.trained_state()[name], value, rtol=0, atol=1e-6)
    # Another head beside the one of the file.
    heads = {**options().encoder.heads, "padding": {"width": 16, "units": 1}}
    wider = options(**slow, encoder={"space": "pad/wplus", "heads": heads})
    both = train(tiny_generator, wider, tmp_path / "third", start=path).encoder
    for name, value in load_encoder(path, tiny_generator).trained_state().items():
        torch.testing.assert_close(both.trained_state()[name], value, rtol=0, atol=1e-6)

    other = MobileStyleGAN([16, 16, 16, 8], z_dim=16, w_dim=16, mapping_layers=2)
    with pytest.raises(CheckpointError, match=r"trained for generator .* train one for it \(stage train_encoder"):
        train(other, options(), tmp_path / "fourth", start=path)
    for encoder in (
        {"input_px": 32},
        {"heads": {"compact": {"width": 16, "code": 16}}},
        {"heads": {"pooled": {}}},
    ):
        with pytest.raises(ParamsError, match="holds another encoder"):
            train(tiny_generator, options(encoder=encoder), tmp_path / "fifth", start=path)


NO_ROWS = {"space": "f16/wplus", "heads": {"feature": {"size": 16, "width": 8}}}
PICTURE = [{"loss": "mse"}]


@pytest.mark.parametrize(
    ("more", "kind", "says"),
    [
        (
            {"encoder": NO_ROWS, "latent": 0.0, "objective": PICTURE, "data": {"photos": 0.5}},
            UnsupportedError,
            "compared on samples only: objective_on: samples",
        ),
        ({"encoder": NO_ROWS}, ParamsError, "latent: this encoder says f16 alone"),
        ({"encoder": NO_ROWS, "latent": 0.0, "feature": 1.0, "own_feature": 1.0}, ParamsError, "own_feature: "),
        (
            {"encoder": NO_ROWS, "latent": 0.0, "feature": 1.0, "regularise": {"delta": 1.0}},
            ParamsError,
            "regularise: this encoder says f16",
        ),
        (
            {
                "encoder": NO_ROWS,
                "latent": 0.0,
                "feature": 1.0,
                "adversary": {"kind": "latent", "weight": 0.1},
            },
            ParamsError,
            "adversary: this encoder says f16",
        ),
        ({"feature": 1.0}, ParamsError, "feature: this encoder says ws alone"),
        ({"fade": 3}, ParamsError, "fade: this encoder says ws alone"),
        ({"data": {"photos": 0.5}, "photos": None}, GanvertError, "align some first"),
        ({"data": {"photos": 0.5, "validation": 4}}, GanvertError, "no photographs are left"),
        ({"data": {"samples": 0}, "objective": PICTURE, "picture": "draft"}, ParamsError, "give data.samples"),
        ({"encoder": {"space": "f5/wplus"}, "objective": PICTURE}, UnsupportedError, "no feature of 5 px"),
        ({"also": "f5/wplus", "objective": PICTURE}, UnsupportedError, "no feature of 5 px"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_work(
    more: dict[str, Any], kind: type, says: str, tiny_generator: MobileStyleGAN, tmp_path: Path
) -> None:
    photos = waves(4)
    if "photos" in more:
        photos, more = None, {name: value for name, value in more.items() if name != "photos"}  # type: ignore[assignment]
    with pytest.raises(kind, match=says):
        train(tiny_generator, options(**more), tmp_path, photos=photos)
    assert list(tmp_path.rglob("*.npy")) == []


@pytest.fixture(params=[5, 7])
def of_other_rows(request: pytest.FixtureRequest) -> Iterator[MobileStyleGAN]:
    """10 and 14 rows, as StyleGAN2 has at 64 and 256 px."""
    generator = MobileStyleGAN([4] * request.param, z_dim=8, w_dim=8, mapping_layers=1).eval().requires_grad_(False)
    with torch.no_grad():
        generator.mapping.layers[0].weight.copy_(torch.eye(8))
    yield generator


def test_other_numbers_of_rows(of_other_rows: MobileStyleGAN, tmp_path: Path) -> None:
    told = options(steps=2, batch=2, data={"samples": 2, "px": 64})
    trained = train(of_other_rows, told, tmp_path)
    assert trained.encoder.encode(torch.zeros(1, 3, 64, 64))["ws"].shape == (1, of_other_rows.num_ws, 8)
    assert len(trained.records) == 2


def test_equal_encoders_are_equal_bytes(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    encoder = train(tiny_generator, options(steps=1), tmp_path).encoder
    files = [tmp_path / f"{i}.safetensors" for i in range(8)]
    for file in files:
        encoder.save(file, "note")
    assert len({file.read_bytes() for file in files}) == 1
    again = load_encoder(files[0], tiny_generator)
    again.save(tmp_path / "again.safetensors", "note")
    assert (tmp_path / "again.safetensors").read_bytes() == files[0].read_bytes()


if __name__ == "__main__":
    process(Path(sys.argv[1]))
