"""The training loop: it learns, resumes to the bit, and leaves the generator alone."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganvert.base.errors import CheckpointError, ParamsError
from ganvert.discriminators import Discriminator, fresh
from ganvert.encoders import BACKBONES, load_encoder
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import area_resize
from ganvert.training import Photos, Trained, TrainOptions, loop, train
from ganvert.training.adversary import Adversary
from ganvert.training.setup import Setup, prepare

Options = Callable[..., TrainOptions]
Waves = Callable[..., Photos]

#: The smallest head of HFGI.
CONSULTATION = {"size": 32, "width": 4, "widths": [[4, 4, 4], [4, 4, 4, 4]]}


def same(a: Trained, b: Trained) -> bool:
    state, other = a.encoder.state_dict(), b.encoder.state_dict()
    return state.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in state.items())


# --- that they learn

#: Encoder, losses, steps, learning rate: one of each kind of head, and of several passes. The contract test of encoders
#: shows for every head that all of its parameters have gradients.
FITS: dict[str, tuple[dict[str, Any], dict[str, Any], int, float]] = {
    "rows at once": ({"heads": {"compact": {"width": 32, "code": 64, "drop": 0.0}}}, {"latent": 1.0}, 100, 0.01),
    "rows, growing": (
        {"neck": "fpn", "heads": {"progressive": {"width": 32, "first": 5, "every": 2}}},
        {"latent": 1.0},
        150,
        0.01,
    ),
    "two passes": ({"heads": {"last": {"width": 32}}, "passes": 2}, {"latent": 1.0}, 150, 0.02),
    "feature": ({"space": "f4/wplus", "heads": {"feature": {"size": 4, "width": 64}}}, {"feature": 1.0}, 200, 0.005),
    "padding": (
        {"space": "pad/wplus", "heads": {"pooled": {"code": 64}, "padding": {"width": 16, "units": 0}}},
        {"latent": 1.0, "objective": [{"loss": "mse"}]},
        200,
        0.01,
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if fit[2] > 100 else ()) for name, fit in FITS.items()]
)
def test_over_fits_eight_samples(name: str, tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options) -> None:
    encoder, weights, steps, lr = FITS[name]
    training = options(
        encoder=encoder,
        **{"latent": 0.0, **weights},
        steps=steps,
        batch=8,
        optimiser={"kind": "adam", "lr": lr, "decay": "cosine"},
        clip=0.0,
        checkpoint_every=1000,
    )
    records = train(tiny_generator, training, tmp_path).records
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
            "validation": 1,
            "augment": {"mirror": True, "colour": 0.3, "blur": 2.0, "noise": 0.1, "rotate": 5.0},
        },
        "objective": [{"loss": "mse"}],
        "validate_every": 3,
        "ema": 0.5,
    },
    "game of pictures, new samples": {
        "latent": 0.0,
        "objective": [{"loss": "mse"}],
        "data": {"samples": 0, "photos": 0.5},
        "adversary": {"kind": "picture", "weight": 0.1, "px": 16, "base": 64, "r1_every": 2},
    },
    "batch normalisation, falling rate": {
        "encoder": {
            "space": "f8/wplus",
            "backbone": "plain_narrow",
            "heads": {"base_code": {"width": 8, "size": 8}},
            "input_px": 32,
        },
        "latent": 0.0,
        "feature": 1.0,
        "optimiser": {"kind": "adamw", "lr": 0.003, "weight_decay": 0.1, "decay": "cosine"},
    },
    "two passes, growing": {
        "encoder": {"heads": {"progressive": {"width": 8, "first": 2, "every": 2}}, "passes": 2},
        "objective": [{"loss": "mse"}],
    },
    "misaligned at random, rows that stay": {
        "encoder": {
            "space": "c32/wplus",
            "heads": {"compact": {"width": 8, "code": 16}, "consultation": CONSULTATION},
        },
        "latent": 0.0,
        "objective": [{"loss": "mse"}],
        "regularise": {"alignment": 0.1},
        "freeze": ["backbone", "compact"],
    },
    "drafts": {"picture": "draft", "objective": [{"loss": "mse"}]},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_a_killed_run_resumes_to_the_same_bits(
    name: str,
    tiny_generator: MobileStyleGAN,
    assets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: Options,
    waves: Waves,
) -> None:
    training, photos = options(**RESUMED[name]), waves(7)
    whole = train(tiny_generator, training, tmp_path / "whole", photos=photos, folder=assets)
    original, steps = loop.train_step, []

    def dying(setup: Setup, step: int) -> dict[str, float]:
        steps.append(step)
        record = original(setup, step)
        if len(steps) == 5:  # after the checkpoint of three steps, in the middle of the next three
            raise KeyboardInterrupt
        return record

    monkeypatch.setattr(loop, "train_step", dying)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_generator, training, tmp_path / "killed", photos=photos, folder=assets)
    torch.manual_seed(5)  # nothing depends on where the process stands
    resumed = train(tiny_generator, training, tmp_path / "killed", photos=photos, folder=assets)
    assert steps == [0, 1, 2, 3, 4, 3, 4, 5, 6]
    assert same(whole, resumed)
    assert resumed.records == whole.records and len(whole.records) == 7
    assert resumed.validation == whole.validation
    (one,), (other,) = ((tmp_path / run / "checkpoints").glob("*.safetensors") for run in ("whole", "killed"))
    state, again = load_file(one), load_file(other)
    assert one.name == other.name and state.keys() == again.keys()
    assert [key for key, value in state.items() if not torch.equal(value, again[key])] == []
    parts = {key.partition(".")[0] for key in state}
    wanted = {"model", "optimiser", "history"}
    assert parts == wanted | ({"ema"} if training.ema else set()) | ({"adversary"} if training.adversary else set())

    finished = train(tiny_generator, training, tmp_path / "killed", photos=photos, folder=assets)
    assert len(steps) == 9
    assert same(finished, whole) and finished.records == whole.records
    assert (finished.sheet is None) == (whole.sheet is None)


def test_checkpoints_of_other_runs_are_left_alone(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options, waves: Waves
) -> None:
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


def test_everything_that_is_learned_from_is_in_the_name_of_a_checkpoint(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options, waves: Waves, assets: Path
) -> None:
    def name(training: TrainOptions, photos: Photos | None = None, judge: Discriminator | None = None) -> str:
        return prepare(tiny_generator, training, tmp_path, None, photos, assets, judge).checkpoint.path.name

    game = options(objective=[{"loss": "mse"}], adversary={"kind": "picture", "weight": 0.1})
    judges = [None, *(fresh(64, channels_base=256, seed=seed) for seed in (1, 2))]
    assert len({name(game, judge=judge) for judge in judges}) == 3
    # A draft that has seen predictions for photographs, which the encoder itself does not see.
    drafts = options(objective=[{"loss": "mse"}], picture="draft", draft_photos=2)
    assert len({name(drafts, waves(count)) for count in (3, 4)}) == 2
    assert len({name(options(), waves(count)) for count in (3, 4)}) == 1


def test_a_finished_run_is_validated_on_the_photographs_that_are_there(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options, waves: Waves, assets: Path
) -> None:
    photos, training = waves(2), options(steps=1, data={"validation": 2})
    others = dataclasses.replace(photos, pixels=255 - photos.pixels)
    first, again, last = (
        train(tiny_generator, training, tmp_path, photos=some, folder=assets).validation
        for some in (photos, others, photos)
    )
    assert first == last and len(again) == 1 and again[0]["mse_256"] != first[0]["mse_256"]


def test_a_training_that_diverges_stops_with_the_step_and_what_to_do(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options
) -> None:
    with pytest.raises(ParamsError, match=r"step 1: the gradient stopped being finite, losses .*latent.*optimiser\.lr"):
        train(tiny_generator, options(optimiser={"kind": "adam", "lr": 1e30}, checkpoint_every=1), tmp_path)


@pytest.mark.parametrize("damage", ["nan", "shape", "missing", "history", "bytes"])
def test_damaged_checkpoints_are_named(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options, damage: str
) -> None:
    train(tiny_generator, options(steps=2), tmp_path)
    (path,) = (tmp_path / "checkpoints").glob("*.safetensors")
    state = load_file(path)
    name = next(key for key in state if key.startswith("model.") and state[key].ndim)
    changes = {
        "nan": {name: torch.full_like(state[name], float("nan"))},
        "shape": {name: state[name][None, :1]},
        "missing": {},
        "history": {"history.records": torch.tensor([1, 2], dtype=torch.uint8)},
        "bytes": {},
    }
    state |= changes[damage]
    if damage == "missing":
        del state[name]
    save_file(state, path)
    if damage == "bytes":
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=path.name):
        train(tiny_generator, options(steps=2), tmp_path)


# --- what a step does


def test_the_generator_is_left_alone(tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options) -> None:
    generator = copy.deepcopy(tiny_generator).requires_grad_(True)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    adversary = {"kind": "picture", "weight": 0.1, "px": 16, "base": 64}
    train(generator, options(steps=2, objective=[{"loss": "mse"}], adversary=adversary), tmp_path)
    for name, parameter in generator.named_parameters():
        assert parameter.grad is None and not parameter.requires_grad, name
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not generator.training


def test_rows_join_one_after_the_other(
    tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Options
) -> None:
    original, seen = loop._predicted, []

    def spying(*args: Any) -> dict[str, Tensor]:
        prediction = original(*args)
        seen.append([i for i in range(1, 8) if not torch.equal(prediction["ws"][:, i], prediction["ws"][:, 0])])
        return prediction

    monkeypatch.setattr(loop, "_predicted", spying)
    head = {"progressive": {"width": 8, "first": 102, "every": 2}}
    train(tiny_generator, options(encoder={"heads": head}, first_step=100, steps=6), tmp_path)
    assert seen == [[], [], [1], [1], [1, 2], [1, 2]]


def test_the_adversary_judges_rows_up_to_the_stage(
    tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Options
) -> None:
    """e4e's release, stage 2: the loss is the mean over rows 0, 1 and 2, of which the discriminator sees one."""
    predictions, judged = [], []
    predict, update = loop._predicted, Adversary.update

    def spying_predict(*args: Any) -> dict[str, Tensor]:
        predictions.append(predict(*args))
        return predictions[-1]

    def spying_update(self: Adversary, real: Tensor | None, fake: Tensor, step: int) -> float:
        judged.append(fake)
        return update(self, real, fake, step)

    monkeypatch.setattr(loop, "_predicted", spying_predict)
    monkeypatch.setattr(Adversary, "update", spying_update)
    training = options(
        encoder={"heads": {"progressive": {"width": 8, "first": 100, "every": 1}}},
        first_step=101,
        steps=1,
        adversary={"kind": "latent", "weight": 0.1},
    )
    setup = prepare(tiny_generator, training, tmp_path, None, None, None, None)
    adversary = setup.state.adversary
    assert adversary is not None
    before = copy.deepcopy(adversary.judge).requires_grad_(False)
    record = loop.train_step(setup, 0)
    (prediction,), (fake,) = predictions, judged
    ws = prediction["ws"].detach()
    assert torch.equal(fake, ws[:, :3])
    assert not torch.equal(ws[:, 2], ws[:, 0]) and torch.equal(ws[:, 3], ws[:, 0])
    costs = torch.stack([torch.log1p(torch.exp(-before(ws[:, i]))) for i in range(tiny_generator.num_ws)])
    assert record["adversary"] == pytest.approx(float(costs[:3].mean()), rel=1e-5)
    assert record["adversary"] != pytest.approx(float(costs.mean()), rel=1e-5)


def test_passes_see_the_reconstruction_unclamped(
    tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Options
) -> None:
    """ReStyle's release feeds what the generator draws, area-averaged: here far outside of [-1, 1]."""
    setup = prepare(
        tiny_generator,
        options(encoder={"heads": {"last": {"width": 8}}, "passes": 2}),
        tmp_path,
        None,
        None,
        None,
        None,
    )
    encoder, fed = setup.state.encoder, []
    features = encoder.features
    monkeypatch.setattr(encoder, "features", lambda images: fed.append(images) or features(images))
    monkeypatch.setattr(encoder, "draw", lambda prediction: 9 * tiny_generator.synthesize(ws=prediction["ws"]))
    small = setup.data.pictures(setup.data.items(0, 2))[1][..., :16, :16]
    first, _ = encoder.passes(small)
    mean = tiny_generator.w_avg.expand(2, tiny_generator.num_ws, -1)
    for images, ws in zip(fed, (mean, first["ws"]), strict=True):
        drawn = 9 * tiny_generator.synthesize(ws=ws).unflatten(3, (16, -1)).unflatten(2, (16, -1)).mean(dim=(3, 5))
        assert drawn.detach().abs().max() > 1.2
        torch.testing.assert_close(images, torch.cat([small, drawn], dim=1))


def test_later_passes_do_not_train_earlier_ones(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options
) -> None:
    spec = {"heads": {"last": {"width": 8}}, "passes": 3}
    training = options(encoder=spec, steps=1, clip=0.0, latent=0.0, objective=[{"loss": "mse"}])
    (record,) = train(tiny_generator, training, tmp_path).records
    setup = prepare(tiny_generator, training, tmp_path / "other", None, None, None, None)
    encoder, target = setup.state.encoder, setup.data.pictures(setup.data.items(0, 4))[1]
    small, before, losses = area_resize(target, 16), None, []
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
    tiny_generator: MobileStyleGAN,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: Options,
    waves: Waves,
) -> None:
    """With one photograph in four pictures and two a step, every other step has none."""
    original, judged = Adversary.update, []

    def spying(self: Adversary, real: Tensor | None, fake: Tensor, step: int) -> float:
        judged.append(len(fake))
        return original(self, real, fake, step)

    monkeypatch.setattr(Adversary, "update", spying)
    training = options(
        steps=4,
        batch=2,
        latent=0.0,
        data={"photos": 0.25},
        objective=[{"loss": "mse"}],
        objective_on="photos",
        adversary={"kind": "picture", "weight": 0.1, "px": 16, "base": 64},
    )
    records = train(tiny_generator, training, tmp_path, photos=waves(3)).records
    has = ["picture" in record for record in records]
    assert sorted(has) == [False, False, True, True]
    assert judged == [int(there) for there in has]  # photographs never play the part of drawn pictures
    assert all(record["total"] == 0 and record["gradient"] == 0 for record in records if "picture" not in record)
    for record in records:
        if "picture" in record:
            assert record["total"] == pytest.approx(record["picture"] + 0.1 * record["adversary"], rel=1e-5)


def test_the_adversary_takes_for_real_what_is_compared(
    tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Options, waves: Waves
) -> None:
    """Not the samples beside it, whose pictures are not even loaded where their features are cached."""
    original, real = Adversary.update, list[Tensor]()

    def spying(self: Adversary, pictures: Tensor, fake: Tensor, step: int) -> float:
        real.append(pictures)
        return original(self, pictures, fake, step)

    monkeypatch.setattr(Adversary, "update", spying)
    monkeypatch.setattr(BACKBONES["tiny"], "frozen", True)
    photos = waves(2)
    training = options(
        steps=1,
        data={"photos": 0.5, "photo_variants": 1},
        objective=[{"loss": "mse"}],
        objective_on="photos",
        adversary={"kind": "picture", "weight": 0.1, "px": 16, "base": 64},
    )
    train(tiny_generator, training, tmp_path, photos=photos)
    assert len(real) == 1 and len(real[0]) == 2
    assert {picture.numpy().tobytes() for picture in real[0]} == {photos.get([i]).numpy().tobytes() for i in range(2)}


@pytest.fixture(params=[5, 7])
def of_other_rows(request: pytest.FixtureRequest) -> Iterator[MobileStyleGAN]:
    """10 and 14 rows, as StyleGAN2 has at 64 and 256 px."""
    generator = MobileStyleGAN([4] * request.param, z_dim=8, w_dim=8, mapping_layers=1).eval().requires_grad_(False)
    with torch.no_grad():
        generator.mapping.layers[0].weight.copy_(torch.eye(8))
    yield generator


def test_other_numbers_of_rows(of_other_rows: MobileStyleGAN, tmp_path: Path, options: Options) -> None:
    training = options(steps=2, batch=2, data={"samples": 2, "px": 64})
    trained = train(of_other_rows, training, tmp_path)
    assert trained.encoder.encode(torch.zeros(1, 3, 64, 64))["ws"].shape == (1, of_other_rows.num_ws, 8)
    assert len(trained.records) == 2


def test_equal_encoders_are_equal_bytes(tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options) -> None:
    encoder = train(tiny_generator, options(steps=1), tmp_path).encoder
    files = [tmp_path / f"{i}.safetensors" for i in range(8)]
    for file in files:
        encoder.save(file, "note")
    assert len({file.read_bytes() for file in files}) == 1
    again = load_encoder(files[0], tiny_generator)
    again.save(tmp_path / "again.safetensors", "note")
    assert (tmp_path / "again.safetensors").read_bytes() == files[0].read_bytes()
