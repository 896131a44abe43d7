"""What params.yaml may say about training, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from ganvert.base import params
from ganvert.base.errors import GanvertError, ParamsError
from ganvert.training import DataOptions, TrainOptions

LEAST: dict[str, Any] = {
    "encoder": {"backbone": "vgg", "heads": {"compact": {}}},
    "steps": 1,
    "batch": 2,
    "data": {},
    "optimiser": {"lr": 0.1},
    "latent": 1.0,
}
MSE = {"loss": "mse"}


def test_defaults() -> None:
    least = params.build(TrainOptions, LEAST, "x")
    assert least.data == DataOptions()
    assert (least.encoder.space, least.first_step, least.seed, least.clip, least.ema) == ("wplus", 0, 0, 1.0, 0.0)
    assert (least.picture, least.precision, least.objective_on, least.adversary) == ("full", "fp32", "all", None)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"steps": 0}, "steps, batch and checkpoint_every must be at least 1"),
        ({"batch": 0}, "at least 1"),
        ({"checkpoint_every": 0}, "at least 1"),
        ({"clip": -1.0}, "must not be negative"),
        ({"latent": -1.0}, "must not be negative"),
        ({"validate_every": -1}, "must not be negative"),
        ({"fade": -1}, "must not be negative"),
        ({"first_step": -1}, "must not be negative"),
        ({"at_once": -1}, "must not be negative"),
        ({"at_once": 1, "adversary": {"kind": "picture", "weight": 1.0}}, "judges a whole batch"),
        ({"freeze": ["compct"]}, "freeze: the encoder has no part compct"),
        ({"freeze": ["backbone", "neck"]}, "freeze: the encoder has no part neck"),
        ({"ema": 1.0}, "ema is a decay"),
        ({"ema": -0.1}, "ema is a decay"),
        ({"latent": 0.0}, "nothing to learn from"),
        ({"data": {"samples": 1}}, r"data.samples \(1\) must fill a batch \(2\)"),
        ({"objective": [{**MSE, "mask": "hair"}]}, "belong to inversion"),
        ({"objective": [{**MSE, "picture": "other"}]}, "belong to inversion"),
        ({"objective": [{"loss": "mes"}]}, "mse"),
        ({"data": {"photos": 1.0}}, "photos: 1 leaves no samples"),
        ({"data": {"cutoff": -1}}, "cutoff: wanted a number of rows, 0 or more, or null for all, got -1"),
        ({"regularise": {"w_norm": -1.0}}, "must not be negative"),
        ({"objective_on": "photos", "adversary": {"kind": "picture", "weight": 1.0}}, "photos: 0 leaves none"),
        ({"objective": [MSE], "objective_on": "photos"}, "objective_on: photos: data.photos: 0 leaves none"),
        (
            {"latent": 0.0, "objective": [MSE], "objective_on": "samples", "data": {"photos": 1.0}},
            "objective_on: samples: data.photos: 1 leaves none",
        ),
        ({"picture": "draft", "adversary": {"kind": "picture", "weight": 1.0}}, "cannot judge drafts"),
        ({"regularise": {"w_nrom": 1.0}}, "Did you mean 'w_norm'"),
        ({"objective_on": "pictures"}, "x.objective_on: wanted one of all, samples, photos"),
        ({"precision": "fp16"}, "x.precision: wanted one of fp32, bf16"),
        ({"step": 1}, "unknown keys .*did you mean 'steps'"),
        ({"data": {"photos": 1.5}}, "x.data: photos is a share"),
        ({"data": {"photos": -0.5}}, "x.data: photos is a share"),
        ({"data": {"samples": -1}}, "must not be negative"),
        ({"data": {"validation": -1}}, "must not be negative"),
        ({"data": {"photo_variants": -1}}, "must not be negative"),
        ({"data": {"px": 8}}, "px at least 16"),
        ({"data": {"augment": {"mirrored": True}}}, "x.data.augment: unknown keys .*did you mean 'mirror'"),
        ({"optimiser": {"lr": 0.0}}, "x.optimiser: lr"),
        ({"optimiser": {"lr": 0.1, "kind": "rangr"}}, "ranger"),
        ({"adversary": {"kind": "latent", "weight": 0.0}}, "x.adversary: weight"),
        ({"encoder": {"backbone": "vgg16", "heads": {"compact": {}}}}, "unknown backbone 'vgg16'"),
        ({"encoder": {"backbone": "vgg", "heads": {"compat": {}}}}, "Did you mean 'compact'"),
        ({"encoder": {"backbone": "vgg", "heads": {}}}, "needs a head"),
        ({"encoder": {"backbone": "vgg", "heads": {"compact": {}}, "passes": 0}}, "passes of 1 to 100"),
        ({"encoder": {"backbone": "vgg", "heads": {"compact": {}}, "space": "wpluss"}}, "wplus"),
    ],
)
def test_refused_options(more: dict[str, Any], message: str) -> None:
    with pytest.raises(GanvertError, match=message):
        params.build(TrainOptions, {**LEAST, **more}, "x")


@pytest.mark.parametrize("name", ["steps", "batch", "data", "optimiser", "encoder"])
def test_required_options(name: str) -> None:
    with pytest.raises(ParamsError, match=f"x: missing keys .*'{name}'"):
        params.build(TrainOptions, {key: value for key, value in LEAST.items() if key != name}, "x")
