"""Discriminators out of files: those that are there, those that are not, and those that are damaged."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError, UnsupportedError
from ganvert.checkpoints import nvlabs, nvlabs_discriminator
from ganvert.checkpoints.base import Content, Instance
from ganvert.checkpoints.containers import read_content
from ganvert.compute.random import normal
from ganvert.discriminators import DISCRIMINATORS, Discriminator, load_discriminator
from ganvert.generators import load_generator

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"
EVIL = GOLDEN / "evil"
NVLABS = ("A2_ada_skip_w64_map8.pkl", "A3_ada_skip_cond_c5.pkl", "A4_ada_resnet.pkl", "D1_stylegan3_t.pkl")
ROSINALITY = ("B1_rosinality_w64_map8.pt", "B3_rosinality_train_layout.pt")


@pytest.fixture(scope="module")
def plain() -> Callable[..., Tensor]:
    path = Path(__file__).with_name("test_stylegan2.py")
    spec = importlib.util.spec_from_file_location("plain_discriminator", path)
    assert spec is not None and spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.plain


@pytest.fixture(scope="module")
def images() -> Tensor:
    return normal(range(4), (3, 64, 64))


@cache
def loaded(name: str) -> Discriminator:
    found = load_discriminator(GOLDEN / name, label=2 if "cond" in name else None)
    assert found is not None
    return found


def close(found: Tensor, wanted: Tensor) -> None:
    assert float(wanted.abs().max()) > 1e-3
    assert float((found.detach() - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())


@pytest.mark.parametrize("name", [*NVLABS, *ROSINALITY])
def test_facts(name: str, images: Tensor) -> None:
    found, generator = loaded(name), load_generator(GOLDEN / name)
    assert found.architecture in DISCRIMINATORS
    assert found.label_dim == generator.label_dim == (5 if "cond" in name else 0)
    assert (found.resolution, found.image_channels) == (generator.resolution, generator.image_channels)
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in found.parameters())
    assert found(images).shape == (4,)


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("name", NVLABS)
def test_nvlabs(name: str, images: Tensor, plain: Callable[..., Tensor], group: int) -> None:
    network = nvlabs.discriminator_of(read_content(GOLDEN / name))
    assert network is not None
    labels = torch.eye(5)[[2, 2, 2, 2]] if "cond" in name else None
    close(loaded(name)(images, group=group), plain(network.tensors(), images, labels, group=group))


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("name", ROSINALITY)
def test_rosinality(name: str, images: Tensor, plain: Callable[..., Tensor], group: int) -> None:
    theirs = read_content(GOLDEN / name).root["d"]
    ours = {"b64.fromrgb.weight": theirs["convs.0.0.weight"], "b64.fromrgb.bias": theirs["convs.0.1.bias"]}
    for i, r in enumerate((64, 32, 16, 8), start=1):
        for part, layer in (("conv0", "conv1.0"), ("conv1", "conv2.1"), ("skip", "skip.1")):
            ours[f"b{r}.{part}.weight"] = theirs[f"convs.{i}.{layer}.weight"]
        ours[f"b{r}.conv0.bias"] = theirs[f"convs.{i}.conv1.1.bias"]
        ours[f"b{r}.conv1.bias"] = theirs[f"convs.{i}.conv2.2.bias"]
    for i, part in enumerate(("fc", "out")):
        ours |= {f"b4.{part}.{kind}": theirs[f"final_linear.{i}.{kind}"] for kind in ("weight", "bias")}
    ours |= {"b4.conv.weight": theirs["final_conv.0.weight"], "b4.conv.bias": theirs["final_conv.1.bias"]}
    found = loaded(name)
    assert set(found.state_dict()) == set(ours)
    assert all(torch.equal(value, ours[key]) for key, value in found.state_dict().items())
    close(found(images, group=group), plain(ours, images, group=group))


def test_configuration_of_nvlabs() -> None:
    content = read_content(GOLDEN / "D1_stylegan3_t.pkl")
    checkpoint = nvlabs_discriminator.read(content)
    assert checkpoint is not None and checkpoint.config == {"conv_clamp": 256}
    plain_one = nvlabs_discriminator.read(read_content(GOLDEN / "A2_ada_skip_w64_map8.pkl"))
    assert plain_one is not None and plain_one.config == {}


# --- none ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["C1_genforce_stylegan1_64.pth", "C2_genforce_stylegan2_64.pth", "T1_tf_stylegan1_emulated.pkl"]
)
def test_formats_of_which_only_generators_are_read(name: str) -> None:
    assert load_discriminator(GOLDEN / name) is None


def test_files_without_one(tiny_generator_file: Path, tmp_path: Path) -> None:
    assert load_discriminator(tiny_generator_file) is None
    assert load_discriminator(GOLDEN / "C3_idinvert_stylegan1_128.pth") is None
    root = read_content(GOLDEN / ROSINALITY[0]).root
    path = tmp_path / "x.pt"
    torch.save({name: root[name] for name in ("g_ema", "latent_avg")}, path)
    assert load_discriminator(path) is None
    root = read_content(GOLDEN / NVLABS[0]).root
    for lacking in ({"G_ema": root["G_ema"]}, {"G_ema": root["G_ema"], "D": None}, root["G_ema"]):
        assert nvlabs_discriminator.read(Content("pickle", lacking, {}, 10**7)) is None


# --- damaged ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.name for path in EVIL.iterdir() if path.suffix != ".npz"))
def test_hostile_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name.startswith("E2"):  # a hostile source text is data
        found = load_discriminator(EVIL / name)
        assert found is not None and found(torch.zeros(1, 3, 16, 16)).isfinite()
    else:
        with pytest.raises(CheckpointError, match=name):
            load_discriminator(EVIL / name)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_cut_missing_or_something_else(tmp_path: Path) -> None:
    path = tmp_path / "cut.pkl"
    for name in (NVLABS[0], ROSINALITY[0]):
        data = (GOLDEN / name).read_bytes()
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(CheckpointError, match=r"cut\.pkl"):
            load_discriminator(path)
    with pytest.raises(CheckpointError, match="no such file"):
        load_discriminator(tmp_path / "nothing.pkl")
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="not a ganvert generator"):
        load_discriminator(path)


FILTER = torch.ones(4, 4) / 16


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("text", "not a table of names"),
        ({"convs.1.conv2.0.kernel": FILTER}, "filter"),
        ({"convs.1.conv3.weight": torch.zeros(1)}, "convs.1.conv3.weight"),
        ({"convs.0.conv1.0.weight": torch.zeros(1)}, "convs.0.conv1.0.weight"),
        ({"convs.1.0.weight": torch.zeros(1)}, "convs.1.0.weight"),
        ({"convs.9.skip.1.weight": torch.zeros(3, 3, 1, 1)}, "blocks are of|missing"),
        ({"final_linear.0.weight": torch.zeros(16, 255)}, "b4.fc.weight has shape"),
        ({"final_linear.0.weight": torch.full((16, 256), torch.nan)}, "b4.fc.weight: wanted finite numbers"),
        ({"final_linear.0.weight": "text"}, "wanted a tensor"),
        ({"final_linear.0.weight": torch.zeros(16, 256).int()}, "wanted a tensor"),
        ({"final_linear.0.weight": torch.zeros(1).expand(16, 1 << 30)}, "over a storage of 1"),
    ],
)
def test_rosinality_refusals(tmp_path: Path, change: Any, match: str) -> None:
    root = read_content(GOLDEN / ROSINALITY[0]).root
    path = tmp_path / "x.pt"
    torch.save({**root, "d": {**root["d"], **change} if isinstance(change, dict) else change}, path)
    with pytest.raises(CheckpointError, match=rf"x\.pt: .*({match})"):
        load_discriminator(path)


def inside(tree: Instance, *path: str) -> dict[str, Any]:
    """State of a module of a tree."""
    state = tree.args[0]["state"]
    return inside(state["_modules"][path[0]], *path[1:]) if path else state


@pytest.mark.parametrize(
    ("path", "name", "value", "match"),
    [
        (("b64",), "architecture", "skip", "D.b64 is of kind 'skip'"),
        (("b64", "conv0"), "activation", "relu", "activation 'relu'; wanted 'lrelu'"),
        (("b4", "out"), "activation", "lrelu", "activation 'lrelu'; wanted 'linear'"),
        (("b64", "conv0"), "conv_clamp", 3, "different conv_clamp"),
        (("b64", "skip"), "conv_clamp", 3, "skip has a conv_clamp"),
        (("b64", "conv1"), "_buffers", {"resample_filter": FILTER}, "filter"),
        (("mapping", "fc1"), "bias_gain", 1, "different"),
        (("b64",), "_modules", None, "not a table"),
        (("b64", "conv0"), "_parameters", {"weight": "text"}, "not a tensor"),
    ],
)
def test_nvlabs_refusals(path: tuple[str, ...], name: str, value: Any, match: str) -> None:
    content = read_content(GOLDEN / "A3_ada_skip_cond_c5.pkl")
    inside(content.root["D"], *path)[name] = value
    with pytest.raises(CheckpointError, match=match):
        nvlabs_discriminator.read(content)


def test_something_else_in_its_place() -> None:
    content = read_content(GOLDEN / NVLABS[0])
    content.root["D"] = "text"
    with pytest.raises(CheckpointError, match="D is not a persistent module"):
        nvlabs_discriminator.read(content)


@pytest.mark.parametrize(("name", "label"), [(NVLABS[1], 5), (NVLABS[1], -1), (NVLABS[0], 0)])
def test_labels_that_are_no_classes(name: str, label: int) -> None:
    with pytest.raises(UnsupportedError, match=f"label {label}"):
        load_discriminator(GOLDEN / name, label=label)
