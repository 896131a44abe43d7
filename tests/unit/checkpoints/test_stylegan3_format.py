"""StyleGAN3 pickles: what the reader takes from them, and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.containers import read_content
from ganvert.checkpoints.nvlabs_stylegan3 import matches, read
from ganvert.generators.base import SynthesisInput
from ganvert.generators.stylegan3 import StyleGAN3

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"
FILE = GOLDEN / "D1_stylegan3_t.pkl"


def built(checkpoint: Checkpoint) -> StyleGAN3:
    generator = StyleGAN3.for_state(checkpoint.state, checkpoint.config)
    generator.load_state_dict(checkpoint.state)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def outputs() -> dict[str, Tensor]:
    recorded = np.load(FILE.with_suffix(".npz"))
    return {name: torch.from_numpy(recorded[name]) for name in recorded.files if name != "meta_json"}


@pytest.fixture(scope="module")
def generator() -> StyleGAN3:
    return built(read(read_content(FILE)))


@pytest.fixture
def content() -> Content:
    """A copy of one's own, to damage."""
    return read_content(FILE)


def state_of(content: Content, *path: str) -> dict[str, Any]:
    """State of a module inside G_ema."""
    state: dict[str, Any] = content.root["G_ema"].args[0]["state"]
    for name in path:
        state = state["_modules"][name].args[0]["state"]
    return state


def close(ours: Tensor, theirs: Tensor, limit: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= limit


def test_mapping_and_truncation(generator: StyleGAN3, outputs: dict[str, Tensor]) -> None:
    z = outputs["z"]
    close(generator.map_to_w(z), outputs["w_psi1"])
    close(generator.map(z, psi=0.7)[:, 15], outputs["w_psi0.7"])
    close(generator.map(z[:2], psi=0.7, cutoff=4), outputs["ws_psi0.7_cutoff4"])


def test_pictures(generator: StyleGAN3, outputs: dict[str, Tensor]) -> None:
    ws = outputs["ws_mix"]
    close(generator.synthesize(ws=ws), outputs["img_mix_const"])
    close(generator.synthesize(ws=generator.map(outputs["z"][:1], psi=0.7)), outputs["img_psi0.7_const"])
    moved = generator.synthesize(SynthesisInput(ws=ws[:1], transform=outputs["transform"]))
    close(moved, outputs["img_mix_transformed"])
    # The network that was not averaged is another one.
    assert float((generator.synthesize(ws=ws[:1]) - outputs["img_G_mix_const"]).abs().max()) > 0.01


def test_styles_and_features(generator: StyleGAN3, outputs: dict[str, Tensor]) -> None:
    ws = outputs["ws_mix"]
    theirs = {name: value for name, value in outputs.items() if name.startswith("style/")}
    for ours, recorded in zip(generator.styles(ws).values(), theirs.values(), strict=True):
        close(ours, recorded)
    points = [point.name for point in generator.feature_points]
    seen = generator.features(SynthesisInput(ws=ws[:1]), points)
    theirs = {name: value for name, value in outputs.items() if name.startswith("feat/")}
    *inner, _ = theirs.values()  # the last is the picture before its scale
    for ours, recorded in zip(seen.values(), inner, strict=True):
        close(ours[:, :, ::3, ::3], recorded)


def test_what_is_read_and_what_is_not(content: Content) -> None:
    checkpoint = read(content)
    assert (checkpoint.format, checkpoint.architecture) == ("nvlabs_stylegan3", "stylegan3")
    assert json.loads(json.dumps(checkpoint.config, allow_nan=False)) == checkpoint.config
    assert sorted(checkpoint.config) == ["input", "layers", "output_scale"]
    assert {value.dtype for value in checkpoint.state.values()} == {torch.float32}
    assert any("float32" in note for note in checkpoint.ignored)
    assert any(note.startswith("D:") for note in checkpoint.ignored)


def test_it_matches_no_other_file(content: Content) -> None:
    assert matches(content)
    assert not matches(read_content(GOLDEN / "A2_ada_skip_w64_map8.pkl"))
    assert not matches(read_content(GOLDEN / "T1_tf_stylegan1_emulated.pkl"))
    for root in ({}, [], 5, None, {"G_ema": 5}):
        assert not matches(Content("pickle", root, {}, 100))
    state_of(content)["_modules"]["synthesis"] = 7
    assert not matches(content)


def test_layer_names_give_the_order(content: Content) -> None:
    before = read(content)
    synthesis = state_of(content, "synthesis")
    synthesis["_modules"] = dict(reversed(synthesis["_modules"].items()))
    after = read(content)
    assert before.config == after.config
    assert all(torch.equal(after.state[name], value) for name, value in before.state.items())
    synthesis["layer_names"] = synthesis["layer_names"][::-1]
    with pytest.raises(CheckpointError):
        built(read(content))


def test_numbers_in_their_many_forms(content: Content) -> None:
    before = read(content)
    layer = state_of(content, "synthesis", "L4_52_16")
    layer["padding"] = np.array(layer["padding"])
    layer["up_factor"], layer["down_factor"] = float(layer["up_factor"]), np.array(layer["down_factor"])
    state_of(content, "synthesis", "input")["size"] = (36, 36)
    assert read(content).config == before.config


def test_attributes_that_matter(content: Content) -> None:
    state_of(content, "synthesis")["output_scale"] = 0.5
    state_of(content, "synthesis", "L3_36_16")["conv_clamp"] = None
    for layer in state_of(content, "mapping")["_modules"].values():
        layer.args[0]["state"]["bias_gain"] = 0.02
    config = read(content).config
    assert (config["output_scale"], config["lr_multiplier"]) == (0.5, 0.02)
    assert config["layers"][3]["conv_clamp"] is None


DAMAGE: dict[str, Callable[[Content], Any]] = {
    "no mapping": lambda c: state_of(c)["_modules"].pop("mapping"),
    "no mean w": lambda c: state_of(c, "mapping")["_buffers"].pop("w_avg"),
    "no layer": lambda c: state_of(c, "synthesis")["_modules"].pop("L3_36_16"),
    "layer not named": lambda c: state_of(c, "synthesis")["layer_names"].pop(),
    "layer named twice": lambda c: state_of(c, "synthesis").update(layer_names=["L3_36_16"] * 15),
    "names are none": lambda c: state_of(c, "synthesis").update(layer_names=5),
    "names are numbers": lambda c: state_of(c, "synthesis").update(layer_names=[*range(15)]),
    "no output scale": lambda c: state_of(c, "synthesis").pop("output_scale"),
    "endless output scale": lambda c: state_of(c, "synthesis").update(output_scale=math.inf),
    "oblong": lambda c: state_of(c, "synthesis", "input").update(size=np.array([36, 40])),
    "huge": lambda c: state_of(c, "synthesis", "input").update(size=np.array([10**9, 10**9])),
    "size is a word": lambda c: state_of(c, "synthesis", "input").update(size="36"),
    "many sizes": lambda c: state_of(c, "synthesis", "input").update(size=np.zeros(10**5)),
    "no bandwidth": lambda c: state_of(c, "synthesis", "input").pop("bandwidth"),
    "no frequencies": lambda c: state_of(c, "synthesis", "input")["_buffers"].pop("freqs"),
    "no filter": lambda c: state_of(c, "synthesis", "L3_36_16")["_buffers"].pop("up_filter"),
    "no factor": lambda c: state_of(c, "synthesis", "L3_36_16").pop("up_factor"),
    "half a pixel": lambda c: state_of(c, "synthesis", "L3_36_16").update(padding=[9, 8, 9, 8.5]),
    "not a number": lambda c: state_of(c, "synthesis", "L3_36_16").update(padding=[9, 8, 9, math.nan]),
    "three paddings": lambda c: state_of(c, "synthesis", "L3_36_16").update(padding=[9, 8, 9]),
    "huge padding": lambda c: state_of(c, "synthesis", "L3_36_16").update(padding=[10**9] * 4),
    "negative factor": lambda c: state_of(c, "synthesis", "L3_36_16").update(up_factor=-2),
    "huge factor": lambda c: state_of(c, "synthesis", "L3_36_16").update(up_factor=10**400),
    "clamp is a word": lambda c: state_of(c, "synthesis", "L3_36_16").update(conv_clamp="256"),
    "rgb is a number": lambda c: state_of(c, "synthesis", "L3_36_16").update(is_torgb=1),
    "rgb in the middle": lambda c: state_of(c, "synthesis", "L3_36_16").update(is_torgb=True),
    "other kernel": lambda c: state_of(c, "synthesis", "L3_36_16").update(conv_kernel=5),
    "two multipliers": lambda c: state_of(c, "mapping", "fc0").update(bias_gain=0.5),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_a_checkpoint_error(content: Content, damage: Callable[[Content], Any]) -> None:
    damage(content)
    with pytest.raises(CheckpointError):
        built(read(content))
