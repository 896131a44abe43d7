"""The losses in closed form, and the reconstructions that they compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganvert.compute.kernels import fast_bfloat16
from ganvert.compute.random import normal
from ganvert.encoders import Encoder
from ganvert.generators.base import Generator, SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import area_resize
from ganvert.spaces.feature import point_of_size
from ganvert.training import TrainOptions, train
from ganvert.training.batch import load_batch
from ganvert.training.distributed import World
from ganvert.training.loop import train_step
from ganvert.training.penalties import PREDICTION_PENALTIES
from ganvert.training.reconstruct import own_feature
from ganvert.training.setup import Setup, prepare

Options = Callable[..., TrainOptions]


def setup_of(generator: Generator, options: TrainOptions, work: Path) -> Setup:
    return prepare(generator, options, work, None, None, None, None)


def test_penalties_in_closed_form(tiny_generator: MobileStyleGAN) -> None:
    w_avg = tiny_generator.w_avg
    ws = w_avg + torch.zeros(2, tiny_generator.num_ws, tiny_generator.w_dim)
    ws[1, 0, 3] += 3.0
    ws[1, 2, 5] += 4.0
    rows = tiny_generator.num_ws
    alignment = torch.zeros(2, 3, 4, 4)
    alignment[1, 0, :2] = -3.0  # two of twelve rows of pixels
    values = {
        name: penalty({"ws": ws, "alignment": alignment}, w_avg).tolist()
        for name, penalty in PREDICTION_PENALTIES.items()
    }
    assert values == {
        "w_norm": pytest.approx([0.0, 5.0], abs=1e-5),
        # Row 2 is five away from the first one, all others three.
        "delta": pytest.approx([0.0, 5.0 + 3.0 * (rows - 2)], abs=1e-4),
        "alignment": [0.0, 0.5],
    }


FEATURES = {
    "space": "fs16/wplus",
    "heads": {"pooled": {}, "feature": {"size": 16, "width": 8}},
}


def test_a_feature_fades_in(tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options) -> None:
    training = options(encoder=FEATURES, objective=[{"loss": "mse"}], fade=10)
    setup = setup_of(tiny_generator, training, tmp_path)
    batch = load_batch(setup.data, training, 0, World())
    prediction = setup.state.encoder.encode(batch.seen)
    ws, point = prediction["ws"], point_of_size(tiny_generator, 16).name
    own = own_feature(tiny_generator, ws, "f16")

    def drawn(number: int) -> Tensor:
        return setup.losses.reconstructor(dataclasses.replace(batch, number=number), prediction)

    def mixed(share: float) -> Tensor:
        feature = torch.lerp(own, prediction["f16"], share)
        return tiny_generator.synthesize(SynthesisInput(ws=ws, features={point: feature}))

    alone = tiny_generator.synthesize(ws=ws)
    torch.testing.assert_close(mixed(0.0), alone)
    for number, share in ((0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (1000, 1.0)):
        torch.testing.assert_close(drawn(number), mixed(share))
    far = (drawn(9) - alone).square().mean()
    assert (drawn(0) - alone).square().mean() < 0.1 * far


def test_pictures_are_drawn_no_larger_than_they_are_compared(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options
) -> None:
    half = tiny_generator.resolution // 2
    training = options(objective=[{"loss": "mse"}], data={"samples": 4, "px": half})
    judged = options(
        objective=[{"loss": "mse"}],
        data={"samples": 4, "px": half},
        adversary={"kind": "picture", "weight": 0.1, "px": 16, "base": 64},
    )
    drawn = []
    for wanted in (training, judged):
        setup = setup_of(tiny_generator, wanted, tmp_path)
        batch = load_batch(setup.data, wanted, 0, World())
        drawn.append(setup.losses.reconstructor(batch, setup.state.encoder.encode(batch.seen)))
    small, full = drawn
    assert small.shape[-1] == half
    assert full.shape[-1] == tiny_generator.resolution  # a discriminator may want more than the losses do
    torch.testing.assert_close(small, area_resize(full, half))


def test_pictures_in_bfloat16_teach_the_same(tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options) -> None:
    def step(precision: str, **more: Any) -> tuple[dict[str, float], Tensor, str]:
        training = options(latent=0.0, objective=[{"loss": "mse"}], picture_precision=precision, **more)
        setup = setup_of(tiny_generator, training, tmp_path)
        record = train_step(setup, 0)
        gradients = [p.grad.flatten() for p in setup.state.encoder.parameters() if p.grad is not None]
        return record, torch.cat(gradients), setup.checkpoint.path.name

    exact, wanted, name = step("float32")
    record, gradient, other = step("bfloat16")
    assert record["picture"] != exact["picture"]  # it was used
    assert record["picture"] == pytest.approx(exact["picture"], rel=0.02)
    assert float(torch.cosine_similarity(gradient, wanted, dim=0)) > 0.99
    assert name != other
    # What the machine is fast at is decided before the checkpoint is named.
    assert step("auto")[2] == (other if fast_bfloat16() else name)
    # A discriminator would tell pictures from photographs by their rounding.
    judged = {"adversary": {"kind": "picture", "weight": 0.1, "px": 16, "base": 64}}
    assert step("bfloat16", **judged)[0] == step("float32", **judged)[0]


def test_a_second_space_is_compared_too(tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options) -> None:
    training = options(
        encoder=FEATURES, steps=1, latent=0.0, objective=[{"loss": "mse"}], also="wplus", own_feature=0.5, seed=3
    )
    (record,) = train(tiny_generator, training, tmp_path).records
    assert set(record) == {"step", "picture", "picture in wplus", "own f16", "total", "gradient"}
    setup = setup_of(tiny_generator, training, tmp_path / "other")
    seen, target = setup.data.pictures(setup.data.items(0, 4))
    prediction = setup.state.encoder.encode(seen)
    picture, plain = setup.state.encoder.draw(prediction), tiny_generator.synthesize(ws=prediction["ws"])
    wanted = {
        "picture": float((picture - target).square().mean()),
        "picture in wplus": float((plain - target).square().mean()),
        "own f16": float((prediction["f16"] - own_feature(tiny_generator, prediction["ws"], "f16")).square().mean()),
    }
    assert {name: record[name] for name in wanted} == pytest.approx(wanted, rel=1e-4)
    weighted = record["picture"] + record["picture in wplus"] + 0.5 * record["own f16"]
    assert record["total"] == pytest.approx(weighted, rel=1e-5)


def test_pictures_drawn_one_by_one_give_the_same_step(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options
) -> None:
    common = {"encoder": FEATURES, "steps": 2, "latent": 0.1, "objective": [{"loss": "mse"}], "also": "wplus"}
    together, *others = (
        train(tiny_generator, options(**common, at_once=count), tmp_path / str(count)) for count in (0, 1, 3)
    )
    for parts in others:
        for record, wanted in zip(parts.records, together.records, strict=True):
            assert record == pytest.approx(wanted, rel=1e-4)
        for name, value in together.encoder.state_dict().items():
            torch.testing.assert_close(parts.encoder.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_frozen_heads_stay(tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options) -> None:
    heads = {"compact": {"width": 8, "code": 16, "drop": 0.5}, "refined": {"width": 8}}
    training = options(
        encoder={"space": "fs16/wplus", "heads": heads}, latent=0.0, objective=[{"loss": "mse"}], freeze=["compact"]
    )
    setup = setup_of(tiny_generator, training, tmp_path)
    encoder, batch = setup.state.encoder, load_batch(setup.data, training, 0, World())
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    rows = encoder.encode(batch.seen)["ws"]
    encoder.train()  # without the dropout of the frozen head
    torch.testing.assert_close(encoder.predict(setup.data.taps(batch.items, batch.seen))["ws"], rows)
    trained = train(tiny_generator, training, tmp_path / "run").encoder
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any(name.startswith("heads.compact") for name in changed)
    assert any(name.startswith("heads.refined") for name in changed)


def test_a_frozen_trunk_stays_with_its_statistics(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options
) -> None:
    """HFGI trains over an encoder of rows that stays as it is, its batch normalisation too."""
    consultation = {"size": 32, "width": 4, "widths": [[4, 4, 4], [4, 4, 4, 4]]}
    heads = {"single": {}, "consultation": consultation}
    training = options(
        encoder={"space": "c32/wplus", "backbone": "ir18", "neck": "fpn", "input_px": 32, "heads": heads},
        latent=0.0,
        objective=[{"loss": "mse"}],
        freeze=["backbone", "neck", "single"],
        steps=2,
    )
    before = Encoder(training.encoder, tiny_generator, None, training.seed).state_dict()
    after = train(tiny_generator, training, tmp_path).encoder.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("heads.consultation") for name in changed)
    assert any("running_mean" in name for name in changed)


def test_latent_and_feature_in_closed_form(tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options) -> None:
    """The error of the feature over its mean square; that of ws over the variance of w, as said in the options."""
    (record,) = train(tiny_generator, options(encoder=FEATURES, steps=1, feature=2.0), tmp_path).records
    setup = setup_of(tiny_generator, options(encoder=FEATURES, feature=2.0), tmp_path / "other")
    data, items = setup.data, setup.data.items(0, 4)
    prediction = setup.state.encoder.encode(data.pictures(items)[0])
    truth = data.ws_of([item.index for item in items])
    error = prediction["f16"] - own_feature(tiny_generator, truth, "f16")
    strength = own_feature(tiny_generator, data.ws_of(range(32)), "f16").square().mean()
    assert record["feature f16"] == pytest.approx(float(error.square().mean() / strength), rel=1e-4)
    spread = setup.losses.spread
    assert spread is not None
    w = tiny_generator.map_to_w(normal(range(4096), (16,)))
    torch.testing.assert_close(spread, w.std(dim=0))
    error = (prediction["ws"] - truth) / spread
    assert record["latent"] == pytest.approx(float(error.square().mean()), rel=1e-4)
    assert record["total"] == pytest.approx(record["latent"] + 2 * record["feature f16"], rel=1e-5)
