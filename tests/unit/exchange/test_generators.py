"""Generators for other tools: equal to the files that they came from, refused where a kind has no place for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ganvert.base.errors import CheckpointError, InputError, UnknownNameError, UnsupportedError
from ganvert.checkpoints.containers import read_content
from ganvert.checkpoints.nvlabs import network_of
from ganvert.checkpoints.read import read_checkpoint
from ganvert.checkpoints.stylegan2 import mean_w
from ganvert.compute.random import normal
from ganvert.exchange.generators_to import GENERATOR_EXPORTS, export_generator
from ganvert.generators import build_generator, load_generator
from ganvert.generators.tuned import apply

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "checkpoints"
ROSINALITY, NVLABS = "B1_rosinality_w64_map8.pt", "A2_ada_skip_w64_map8.pkl"
#: File -> why a kind refuses it; None where it is written.
CASES: dict[str, dict[str, str | None]] = {
    ROSINALITY: {"rosinality": None, "nvlabs-safetensors": "channel_base"},
    "B3_rosinality_train_layout.pt": {"rosinality": None, "nvlabs-safetensors": "channel_base"},
    NVLABS: {"rosinality": None, "nvlabs-safetensors": None},
    "A3_ada_skip_cond_c5.pkl": {"rosinality": "5 classes; a mapping network of widths", "nvlabs-safetensors": None},
    "A4_ada_resnet.pkl": {"rosinality": "other than skip", "nvlabs-safetensors": None},
    "C2_genforce_stylegan2_64.pth": {"rosinality": None, "nvlabs-safetensors": None},
    "C1_genforce_stylegan1_64.pth": dict.fromkeys(GENERATOR_EXPORTS, "holds a StyleGAN2, not a stylegan1"),
    "D1_stylegan3_t.pkl": dict.fromkeys(GENERATOR_EXPORTS, "holds a StyleGAN2, not a stylegan3"),
}


@pytest.mark.parametrize(
    ("file", "kind", "reason"),
    [(file, kind, reason) for file, kinds in CASES.items() for kind, reason in kinds.items()],
)
def test_what_is_written_draws_the_tools_picture(file: str, kind: str, reason: str | None, tmp_path: Path) -> None:
    generator, out = load_generator(GOLDEN / file), tmp_path / "out"
    if reason is not None:
        with pytest.raises(UnsupportedError, match=reason):
            export_generator(generator, kind, out)
        assert not list(tmp_path.iterdir())
        return
    difference, notes = export_generator(generator, kind, out)
    assert 0 <= difference < 1e-6
    assert ("fixed channels" if kind == "rosinality" else "init_kwargs") in notes[0]
    recorded = np.load((GOLDEN / file).with_suffix(".npz"))
    again = load_generator(out)
    image = again.synthesize(ws=torch.from_numpy(recorded["ws_mix"]))
    torch.testing.assert_close(image, torch.from_numpy(recorded["img_mix_const"]), atol=1e-5, rtol=0)
    assert torch.equal(again.w_avg, generator.w_avg)
    if kind.split("-")[0] in file.replace("ada", "nvlabs"):
        # Codes, directions and encoders of the one are those of the other.
        assert again.fingerprint() == generator.fingerprint()
    # There and back: a second export of what was read is the same file's content.
    export_generator(again, kind, tmp_path / "again")
    first, second = (read_checkpoint(path).state for path in (out, tmp_path / "again"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_rosinalitys_file_comes_back_tensor_by_tensor(tmp_path: Path) -> None:
    export_generator(load_generator(GOLDEN / ROSINALITY), "rosinality", tmp_path / "g.pt")
    ours = torch.load(tmp_path / "g.pt", weights_only=True)
    theirs = torch.load(GOLDEN / ROSINALITY, weights_only=True)
    assert set(ours["g_ema"]) == set(theirs["g_ema"])
    for name, value in theirs["g_ema"].items():
        assert ours["g_ema"][name].shape == value.shape, name
        torch.testing.assert_close(ours["g_ema"][name], value, atol=1e-7 if "kernel" in name else 0, rtol=0)
    assert torch.equal(ours["latent_avg"], theirs["latent_avg"])


@pytest.mark.parametrize("file", [NVLABS, "A3_ada_skip_cond_c5.pkl", "A4_ada_resnet.pkl"])
def test_nvlabs_state_dict_comes_back_tensor_by_tensor(file: str, tmp_path: Path) -> None:
    out = tmp_path / "g.safetensors"
    export_generator(load_generator(GOLDEN / file), "nvlabs-safetensors", out)
    ours, theirs = load_file(out), network_of(read_content(GOLDEN / file))
    tensors = theirs.tensors()
    assert set(ours) == set(tensors)
    for name, value in tensors.items():
        assert ours[name].shape == value.shape, name
        torch.testing.assert_close(ours[name], value, atol=1e-7 if "filter" in name else 0, rtol=0)
    with safe_open(str(out), "pt") as opened:
        arguments = json.loads(opened.metadata()["init_kwargs"])
    stated: Any = theirs.attributes["_init_kwargs"]
    for name, value in stated.items():
        if name.endswith("kwargs"):
            shared = set(value) & set(arguments[name]) - {"num_fp16_res"}  # we compute in float32
            assert {key: arguments[name][key] for key in shared} == {key: value[key] for key in shared}
        else:
            assert arguments[name] == value


def test_a_tuned_generator_is_written_with_its_changes(tmp_path: Path) -> None:
    generator = load_generator(GOLDEN / NVLABS)
    name = "synthesis.b16.conv1.weight"
    tuned = apply(generator, {name: 0.1 * normal([0], dict(generator.named_parameters())[name].shape)[0]})
    ws = generator.map(normal([1], (generator.z_dim,)))
    for kind in GENERATOR_EXPORTS:
        export_generator(tuned, kind, tmp_path / kind)
        drawn = load_generator(tmp_path / kind).synthesize(ws=ws)
        torch.testing.assert_close(drawn, tuned.synthesize(ws=ws), atol=1e-6, rtol=0)
        assert not torch.allclose(drawn, generator.synthesize(ws=ws), atol=1e-3)
    with pytest.raises(InputError, match="--force"):
        export_generator(tuned, "rosinality", tmp_path / "rosinality")
    export_generator(generator, "rosinality", tmp_path / "rosinality", force=True)
    with pytest.raises(UnknownNameError, match="nvlabs-safetensors"):
        export_generator(generator, "onnx", tmp_path / "x")


@pytest.mark.parametrize(
    ("config", "kinds"),
    [
        ({"conv_clamp": 256.0}, {"rosinality": "clamped at 256"}),
        ({"lr_multiplier": 0.1}, {"rosinality": "learning rate multiplier"}),
    ],
)
def test_configuration(config: dict[str, Any], kinds: dict[str, str], tmp_path: Path) -> None:
    checkpoint = read_checkpoint(GOLDEN / NVLABS)
    generator = build_generator("stylegan2", checkpoint.state, config)
    for kind in GENERATOR_EXPORTS:
        if kind in kinds:
            with pytest.raises(UnsupportedError, match=kinds[kind]):
                export_generator(generator, kind, tmp_path / kind)
        else:
            export_generator(generator, kind, tmp_path / kind)
            assert load_generator(tmp_path / kind).config == config


def test_noise_without_a_place_is_refused(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(GOLDEN / NVLABS)
    silent = {name: value for name, value in checkpoint.state.items() if not name.endswith("noise_const")}
    without = {name: value for name, value in silent.items() if not name.endswith("noise_strength")}
    for kind, reason in (("rosinality", "layers without noise"), ("nvlabs-safetensors", None)):
        with pytest.raises(UnsupportedError, match="noise without stored maps"):
            export_generator(build_generator("stylegan2", silent, {}), kind, tmp_path / kind)
        quiet = build_generator("stylegan2", without, {})
        if reason:
            with pytest.raises(UnsupportedError, match=reason):
                export_generator(quiet, kind, tmp_path / kind)
        else:
            export_generator(quiet, kind, tmp_path / kind)


def test_damaged_tables_of_nvlabs_names_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "g.safetensors"
    export_generator(load_generator(GOLDEN / NVLABS), "nvlabs-safetensors", out)
    tensors = load_file(out)

    def refuse(state: dict[str, torch.Tensor], metadata: dict[str, str], says: str) -> None:
        save_file(state, tmp_path / "x.safetensors", metadata)
        with pytest.raises(CheckpointError, match=says):
            load_generator(tmp_path / "x.safetensors")

    refuse({**tensors, "synthesis.b8.resample_filter": torch.ones(4, 4)}, {}, r"other than \[1, 3, 3, 1\]")
    refuse({**tensors, "synthesis.b4.const": torch.ones(2, 2)}, {}, "StyleGAN2")
    refuse({**tensors, "synthesis.b4.const": torch.ones(64, 4, 4, dtype=torch.int32)}, {}, "floating-point")
    refuse({**tensors, "extra": torch.ones(1)}, {}, "extra is not part of it")
    refuse(tensors, {"init_kwargs": "[1]"}, "not JSON of that kind")
    refuse(tensors, {"init_kwargs": "{"}, "not JSON of that kind")
    refuse(tensors, {"init_kwargs": "[" * 100_000}, "not JSON of that kind")
    refuse(tensors, {"init_kwargs": '{"synthesis_kwargs": {"conv_clamp": "much"}}'}, "wanted a number above 0")
    # Without them, as torch.save(G.state_dict()) leaves it: the clamp is then assumed, and said.
    torch.save({name: value for name, value in tensors.items() if name != "mapping.w_avg"}, tmp_path / "g.pt")
    checkpoint = read_checkpoint(tmp_path / "g.pt")
    assert checkpoint.format == "nvlabs_state"
    assert any("not clamped" in note for note in checkpoint.ignored)
    assert torch.equal(checkpoint.state["w_avg"], mean_w(checkpoint.state))
