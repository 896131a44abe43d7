"""Encoder training on the tiny generator."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.encoders import ENCODERS, Encoder, load_encoder
from ganvert.encoders.train import TrainOptions, train
from ganvert.errors import CheckpointError, ParamsError, UnknownNameError
from ganvert.generators.base import Generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.samples import PictureStore, codes_of


class TinyEncoder(Encoder):
    """16 x 16 pixels and one hidden layer."""

    kind = "tiny"

    def __init__(self, generator: Generator, folder: Path | None = None) -> None:
        super().__init__(generator)
        self.hidden = nn.Linear(3 * 16 * 16, 64)
        self.drop = nn.Dropout(0.05)
        self.rows = nn.Linear(64, self.num_ws * self.w_dim)

    def initialise_(self, seed: int) -> None:
        source = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in (self.hidden, self.rows):
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=source) / layer.in_features**0.5)
                layer.bias.zero_()

    def calibrate_(self, features: Tensor) -> None:
        assert features.isfinite().all()

    def trunk(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images, 16).flatten(1)

    def head(self, features: Tensor) -> Tensor:
        hidden = self.drop(F.leaky_relu(self.hidden(features), 0.2))
        return self.rows(hidden).unflatten(1, (self.num_ws, self.w_dim))

    def trained_state(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.state_dict().items() if name != "w_avg"}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, "tiny", TinyEncoder)


def options(**more: object) -> TrainOptions:
    told = {"encoder": "tiny", "steps": 12, "batch": 4, "lr": 0.003, "samples": 8, "pixel": 0.5, "checkpoint_every": 4}
    return TrainOptions(**{**told, **more})  # type: ignore[arg-type]


def same(a: Encoder, b: Encoder) -> bool:
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


def test_over_fits_eight_samples(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    encoder, records = train(tiny_generator, options(steps=400, lr=0.01, pixel=0.0, checkpoint_every=400), tmp_path)
    assert [record["step"] for record in records] == list(range(400))
    assert sum(record["latent"] for record in records[-10:]) < 0.1 * sum(record["latent"] for record in records[:10])
    _, w = codes_of(tiny_generator, range(8))
    images = PictureStore(tiny_generator, tmp_path / "samples", 8, Encoder.input_px).get(range(8))
    far = (w - tiny_generator.w_avg).square().mean()
    assert (encoder.encode(images) - w.unsqueeze(1)).square().mean() < 0.1 * far


def test_a_killed_run_resumes_to_the_same_weights(
    tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, records = train(tiny_generator, options(), tmp_path / "whole")
    original, heads = TinyEncoder.head, []

    def dying(self: TinyEncoder, features: Tensor) -> Tensor:
        heads.append(1)
        if len(heads) == 7:  # after the checkpoint of step 4
            raise KeyboardInterrupt
        return original(self, features)

    monkeypatch.setattr(TinyEncoder, "head", dying)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_generator, options(), tmp_path / "killed")
    resumed, again = train(tiny_generator, options(), tmp_path / "killed")
    assert len(heads) == 7 + 8
    assert same(whole, resumed)
    assert again == records


def test_checkpoints_of_other_options_are_left_alone(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    first, _ = train(tiny_generator, options(), tmp_path)
    other, _ = train(tiny_generator, options(lr=0.001), tmp_path)
    fresh, _ = train(tiny_generator, options(lr=0.001), tmp_path / "fresh")
    assert same(other, fresh)
    assert not same(first, other)
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 2
    rare, _ = train(tiny_generator, options(checkpoint_every=5), tmp_path)  # decides nothing: the same run
    assert same(first, rare)
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 2


def test_weights_go_on_and_are_refused_elsewhere(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    encoder, _ = train(tiny_generator, options(), tmp_path / "first")
    path = tmp_path / "encoder.safetensors"
    encoder.save(path, "note")
    loaded = load_encoder(path, tiny_generator)
    for name, value in encoder.trained_state().items():
        torch.testing.assert_close(loaded.trained_state()[name], value.half().float())
    more = options(start=str(path), first_step=12, steps=2)
    _, records = train(tiny_generator, more, tmp_path / "second")
    assert [record["step"] for record in records] == [12, 13]

    other = MobileStyleGAN([16, 16, 16, 8], z_dim=16, w_dim=16, mapping_layers=2)
    with pytest.raises(CheckpointError, match="trained for generator"):
        train(other, more, tmp_path / "third")
    with pytest.raises(ParamsError, match="holds encoder 'tiny', wanted 'compact'"):
        train(tiny_generator, dataclasses.replace(more, encoder="compact"), tmp_path / "fourth")


def test_files_that_are_no_encoder(tiny_generator: MobileStyleGAN, tiny_generator_file: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not an encoder"):
        load_encoder(tiny_generator_file, tiny_generator)
    with pytest.raises(CheckpointError, match="no such file"):
        load_encoder(tmp_path / "none", tiny_generator)
    encoder = TinyEncoder(tiny_generator)
    encoder.rows = nn.Linear(64, 3)
    encoder.save(tmp_path / "e.safetensors", "")
    with pytest.raises(CheckpointError, match="tensors do not fit encoder 'encoder/tiny'"):
        load_encoder(tmp_path / "e.safetensors", tiny_generator)


def test_options_that_cannot_be() -> None:
    with pytest.raises(ParamsError, match="must be above 0"):
        options(steps=0)
    with pytest.raises(ParamsError, match="must not exceed samples"):
        options(batch=9)
    with pytest.raises(ParamsError, match="one of latent, pixel and lpips"):
        options(latent=0.0, pixel=0.0)
    with pytest.raises(UnknownNameError, match="Did you mean 'compact'"):
        options(encoder="compacted")


def test_the_compact_encoder(tiny_generator: MobileStyleGAN, assets: Path, tmp_path: Path) -> None:
    short = options(encoder="compact", steps=6, batch=2, samples=4, lr=0.001, lpips=0.1)
    encoder, records = train(tiny_generator, short, tmp_path, folder=assets)
    assert records[-1]["latent"] < records[0]["latent"]
    encoder.save(tmp_path / "encoder.safetensors", "note")
    loaded = load_encoder(tmp_path / "encoder.safetensors", tiny_generator, assets)
    images = tiny_generator.synthesize(ws=tiny_generator.w_avg.expand(1, 8, -1))
    torch.testing.assert_close(loaded.encode(images), encoder.encode(images), rtol=1e-2, atol=1e-2)
    assert loaded.encode(images).shape == (1, tiny_generator.num_ws, tiny_generator.w_dim)


@pytest.mark.parametrize("layers", [5, 7])
def test_other_numbers_of_rows(layers: int, tmp_path: Path) -> None:
    """10 and 14 rows, as StyleGAN2 has at 64 and 256 px."""
    generator = MobileStyleGAN([4] * layers, z_dim=8, w_dim=8, mapping_layers=1).eval().requires_grad_(False)
    with torch.no_grad():
        generator.mapping.layers[0].weight.copy_(torch.eye(8))
    encoder, records = train(generator, options(steps=2, batch=2, samples=2, pixel=0.0), tmp_path)
    assert encoder.encode(torch.zeros(1, 3, 64, 64)).shape == (1, 2 * layers, 8)
    assert len(records) == 2
