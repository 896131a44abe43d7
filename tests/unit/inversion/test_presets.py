"""Presets of methods: read into options, compared by them, and checked against the generator."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageOps

from ganvert.base.errors import ParamsError, UnknownNameError, UnsupportedError
from ganvert.base.preset_files import ENCODERS, METHODS, Presets
from ganvert.generators import Generator, load_generator
from ganvert.images import from_pil
from ganvert.inversion.presets import INVERTERS, read_preset, read_resolved
from ganvert.inversion.run import shipped_encoders
from ganvert.losses import LOSSES
from ganvert.losses.lpips import load_lpips

SHIPPED = Presets(METHODS, folders=[Path(__file__).parents[3] / "presets"])
MSE = [{"loss": "mse"}]
OPTIMISE: dict[str, Any] = {"inverter": "optimise", "space": "w", "steps": 3, "lr": 0.1, "objective": MSE}
TUNE: dict[str, Any] = {"inverter": "tune", "steps": 2, "lr": 0.1, "objective": MSE}


@pytest.fixture(scope="module")
def default_generator(assets: Path) -> Generator:
    return load_generator(assets / "mobile_stylegan.safetensors")


def test_every_shipped_preset_goes_with_the_default_generator(default_generator: Generator) -> None:
    for name in SHIPPED:
        preset = read_resolved(SHIPPED.resolve(name))
        assert isinstance(preset.options, INVERTERS[preset.raw["inverter"]].options)
        preset.check(default_generator)
        assert preset.space


def test_settings_hold_defaults_and_name_the_inverters_of_stages() -> None:
    plain = read_preset("plain", OPTIMISE)
    assert plain.stages == (plain,)
    assert plain.settings == dataclasses.asdict(plain.options)
    assert plain.settings["keep"] == "last"
    chain = read_preset("both", {"inverter": "chain", "stages": [OPTIMISE, TUNE]})
    assert [stage.name for stage in chain.stages] == ["both.stages[0]", "both.stages[1]"]
    first, second = json.loads(json.dumps(chain.settings))["stages"]
    assert first == json.loads(json.dumps({"inverter": "optimise", **plain.settings}))
    assert (second["inverter"], second["tuned"]) == ("tune", "synthesis")
    assert (chain.space, chain.steps) == ("w", 5)


def test_fingerprints_follow_the_options_not_how_they_are_written() -> None:
    spelled = read_preset("other", {**OPTIMISE, "keep": "last"})
    assert read_preset("plain", OPTIMISE).fingerprint == spelled.fingerprint
    chains = [
        read_preset("both", {"inverter": "chain", "stages": [OPTIMISE, {**TUNE, **more}]})
        for more in ({}, {"keep": "last"}, {"keep": "best"})
    ]
    assert chains[0].fingerprint == chains[1].fingerprint != chains[2].fingerprint


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"space": "w"}, r"here.yaml: wanted a mapping with the key 'inverter'"),
        ({**OPTIMISE, "lrr": 1.0}, r"here.yaml: unknown keys \['lrr'\].*did you mean 'lr'"),
        ({"inverter": "chain", "stages": []}, "here.yaml: stages: wanted at least one"),
        ({"inverter": "chain", "stages": [OPTIMISE, TUNE, OPTIMISE]}, "here.yaml: stages: tuning comes last"),
        (
            {"inverter": "chain", "stages": [{"inverter": "chain", "stages": [OPTIMISE, TUNE]}, TUNE]},
            "here.yaml: stages: tuning comes last",
        ),
        ({"inverter": "chain", "stages": 3}, "here.yaml.stages: wanted a list, got 3"),
        ({"inverter": "chain", "stages": [3]}, r"here.yaml.stages\[0\]: wanted a mapping"),
        ({"inverter": "chain", "stages": [OPTIMISE], "steps": 1}, r"here.yaml: unknown keys \['steps'\]"),
        ({"inverter": "chain", "stages": [{**OPTIMISE, "steps": "x"}]}, r"here.yaml.stages\[0\].steps: wanted int"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(raw: Any, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        read_preset("mine", raw, "here.yaml")


def test_what_runs_code_of_faces() -> None:
    """Segments of `assign` are found by face parsing, and encoders look through its networks."""
    for name, faces in (("cpu_wplus", False), ("cpu_sam", True), ("encoder_wplus", True), ("inpaint", True)):
        assert read_resolved(SHIPPED.resolve(name)).needs_faces is faces
    assign = {"inverter": "assign", "space": "m16-32/wplus", "trial_steps": 1, "lr": 1.0, "objective": MSE}
    nested = {"inverter": "chain", "stages": [{"inverter": "chain", "stages": [OPTIMISE, assign]}]}
    assert read_preset("mine", nested).needs_faces


def test_an_unknown_inverter_and_a_chain_without_codes() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown inverter .*'optimize'.* Did you mean 'optimise'"):
        read_preset("mine", {"inverter": "optimize"})
    with pytest.raises(ParamsError, match="wanted one that finds codes"):
        _ = read_preset("mine", {"inverter": "chain", "stages": [TUNE]}).space
    with pytest.raises(ParamsError, match="put it behind another one"):
        _ = read_preset("mine", TUNE).space


@pytest.mark.slow
def test_idinvert_weighs_vgg_as_on_the_originals_inputs(assets: Path) -> None:
    """5e-5 times what our network's loss grows by on Caffe's inputs: [0, 255] minus a mean, not divided."""
    encoders = Presets(ENCODERS, folders=[Path(__file__).parents[3] / "presets"])
    options = [SHIPPED.resolve(name).options for name in ("idinvert", "cpu_idinvert")]
    terms = [term for preset in [*options, encoders.resolve("idinvert").options] for term in preset["objective"]]
    weights = [term["weight"] for term in terms if term["loss"] == "vgg_conv4_3"]
    photos = [Image.open(path) for path in sorted((assets.parent / "sample_photos").iterdir())[:3]]
    x = from_pil([ImageOps.fit(photo.convert("RGB"), (128, 128)) for photo in photos])
    loss = LOSSES["vgg_conv4_3"](assets, torch.device("cpu"))
    ours = loss(x, loss.prepare(x.roll(1, dims=0))).mean()

    # The loss normalises (v - shift) / scale: the inverse makes the network see what we want it to see.
    scaling = load_lpips("vgg", assets, torch.device("cpu")).model.scaling_layer
    theirs = (x + 1) * 127.5 - torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)
    y = theirs * scaling.scale + scaling.shift
    torch.testing.assert_close(scaling(y), theirs)
    growth = float(loss(y, loss.prepare(y.roll(1, dims=0))).mean() / ours)
    assert weights == [weights[0]] * 3 and weights[0] == pytest.approx(5e-5 * growth, rel=0.2)
    assert growth < 0.5 * (255 * 0.226) ** 2  # biases stay as they are: less than the inputs' own growth


@pytest.mark.parametrize(
    ("space", "name"), [("wplus", "wplus"), ("f16/zplus", "wplus"), ("fs16/wplus", "wplus"), ("pad/wplus", "padinv")]
)
def test_shipped_encoder_of_a_space(space: str, name: str) -> None:
    preset = read_preset("one", {"inverter": "feed_forward", "space": space})
    assert [path.name for path in shipped_encoders(preset)] == [f"{name}_ffhq.safetensors"]


def test_no_encoder_of_other_feature_maps_is_shipped() -> None:
    with pytest.raises(UnsupportedError, match="no encoder for space 'fs8/wplus' comes with ganvert"):
        shipped_encoders(read_preset("one", {"inverter": "feed_forward", "space": "fs8/wplus"}))
