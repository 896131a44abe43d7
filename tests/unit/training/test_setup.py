"""Where a training starts, and what it refuses before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganvert.base import params
from ganvert.base.errors import CheckpointError, GanvertError, ParamsError, UnsupportedError
from ganvert.compute.random import normal
from ganvert.encoders import Encoder, EncoderSpec, load_encoder
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.training import Photos, TrainOptions, train
from ganvert.training.setup import prepare

Options = Callable[..., TrainOptions]
Waves = Callable[..., Photos]


def test_going_on_from_a_file(tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options) -> None:
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
    # A head of the file that is not wanted is left out.
    both.save(path, "note")
    alone = train(tiny_generator, options(**slow), tmp_path / "alone", start=path).encoder
    assert set(alone.spec.heads) == {"compact"}
    for name, value in alone.trained_state().items():
        torch.testing.assert_close(value, load_encoder(path, tiny_generator).state_dict()[name], rtol=0, atol=1e-6)

    other = MobileStyleGAN([16, 16, 16, 8], z_dim=16, w_dim=16, mapping_layers=2)
    with pytest.raises(CheckpointError, match=r"an encoder of generator .*; train one for it \(stage train_encoder"):
        train(other, options(), tmp_path / "fourth", start=path)
    for encoder in (
        {"input_px": 32},
        {"heads": {"compact": {"width": 16, "code": 16}}},
        {"heads": {"pooled": {}}},
    ):
        with pytest.raises(ParamsError, match="holds another encoder"):
            train(tiny_generator, options(encoder=encoder), tmp_path / "fifth", start=path)


def _save(encoder: Encoder, path: Path) -> Path:
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.02 * normal([3], parameter.shape)[0])
    encoder.save(path, "a test")
    return path


def test_a_descriptor_may_be_added(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options, assets: Path, waves: Waves
) -> None:
    """The new head starts at zero: training goes on exactly where the encoder without it is."""
    heads = {"compact": {"width": 8, "code": 16}}
    spec = {"backbone": "vgg", "input_px": 64, "heads": heads}
    given = params.build(EncoderSpec, spec, "spec")
    start = _save(Encoder(given, tiny_generator, assets), tmp_path / "start.safetensors")
    more = {"heads": {**heads, "identity": {"code": 8, "narrow": 4}}, "descriptor": "dlib"}
    setup = prepare(tiny_generator, options(encoder={**spec, **more}), tmp_path / "work", start, waves(1), assets, None)
    images = waves(2, 256).get([0, 1])
    wanted = load_encoder(start, tiny_generator, assets).encode(images)["ws"]
    torch.testing.assert_close(setup.state.encoder.encode(images)["ws"], wanted)


def test_a_frozen_backbone_may_be_tuned_from_now_on(
    tiny_generator: MobileStyleGAN, tmp_path: Path, options: Options, assets: Path, waves: Waves
) -> None:
    spec = {"backbone": "parsing_frozen", "input_px": 64, "heads": {"compact": {"width": 8, "code": 16}}}
    frozen = Encoder(params.build(EncoderSpec, spec, "spec"), tiny_generator, assets)
    start = _save(frozen, tmp_path / "start.safetensors")
    tuned = options(encoder={**spec, "backbone": "parsing"})
    encoder = prepare(tiny_generator, tuned, tmp_path / "work", start, None, assets, None).state.encoder
    images = waves(2).get([0, 1])
    wanted = load_encoder(start, tiny_generator, assets).encode(images)["ws"]
    torch.testing.assert_close(encoder.encode(images)["ws"], wanted)
    # Not the reverse: a frozen backbone would lose what the other one has learned.
    encoder.save(tmp_path / "tuned.safetensors", "a test")
    with pytest.raises(ParamsError, match="holds another encoder"):
        prepare(
            tiny_generator, options(encoder=spec), tmp_path / "work", tmp_path / "tuned.safetensors", None, assets, None
        )


NO_ROWS = {"space": "f16/wplus", "heads": {"feature": {"size": 16, "width": 8}}}
PICTURE = [{"loss": "mse"}]


@pytest.mark.parametrize(
    ("more", "kind", "message"),
    [
        (
            {"encoder": NO_ROWS, "latent": 0.0, "objective": PICTURE, "data": {"photos": 0.5}},
            UnsupportedError,
            "compared on samples only: objective_on: samples",
        ),
        ({"encoder": NO_ROWS}, ParamsError, "latent: this encoder predicts only f16"),
        ({"encoder": NO_ROWS, "latent": 0.0, "feature": 1.0, "own_feature": 1.0}, ParamsError, "own_feature: "),
        (
            {"encoder": NO_ROWS, "latent": 0.0, "feature": 1.0, "regularise": {"delta": 1.0}},
            ParamsError,
            "regularise: delta: this encoder predicts only f16",
        ),
        (
            {
                "encoder": NO_ROWS,
                "latent": 0.0,
                "feature": 1.0,
                "adversary": {"kind": "latent", "weight": 0.1},
            },
            ParamsError,
            "adversary: this encoder predicts only f16",
        ),
        ({"feature": 1.0}, ParamsError, "feature: this encoder predicts only ws"),
        ({"fade": 3}, ParamsError, "fade: this encoder predicts only ws"),
        ({"data": {"photos": 0.5}, "photos": None}, GanvertError, "align some first"),
        ({"data": {"photos": 0.5, "validation": 4}}, GanvertError, "no photographs are left"),
        ({"data": {"samples": 0}, "objective": PICTURE, "picture": "draft"}, ParamsError, "give data.samples"),
        ({"encoder": {"space": "f5/wplus"}, "objective": PICTURE}, UnsupportedError, "no feature of 5 px"),
        ({"also": "f5/wplus", "objective": PICTURE}, UnsupportedError, "no feature of 5 px"),
        ({"encoder": {"space": "zplus"}, "objective": PICTURE}, UnsupportedError, "no gradient reaches the rows"),
        ({"also": "zplus", "objective": PICTURE}, UnsupportedError, "'zplus': its z are searched for"),
        ({"freeze": ["backbone", "compact"]}, ParamsError, "freeze: backbone, compact: nothing is left to train"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_work(
    more: dict[str, Any],
    kind: type,
    message: str,
    tiny_generator: MobileStyleGAN,
    tmp_path: Path,
    options: Options,
    waves: Waves,
) -> None:
    photos = waves(4)
    if "photos" in more:
        photos, more = None, {name: value for name, value in more.items() if name != "photos"}  # type: ignore[assignment]
    with pytest.raises(kind, match=message):
        train(tiny_generator, options(**more), tmp_path, photos=photos)
    assert list(tmp_path.rglob("*.npy")) == []
