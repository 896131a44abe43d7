"""StyleGAN2 in the layouts of five codes: our names written in theirs and read back, and what is refused."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints import genforce_stylegan2, nvlabs, rosinality, tensorflow_stylegan2
from ganvert.checkpoints.base import Checkpoint, Content, Instance
from ganvert.checkpoints.containers import read_content
from ganvert.compute.random import normal
from ganvert.generators.stylegan2 import StyleGAN2

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "checkpoints"
FORMATS = (nvlabs, rosinality, genforce_stylegan2, tensorflow_stylegan2)
SIZES = (4, 8, 16)


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_synthesis", ROOT / "benchmarks" / "synthesis.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make(plain: ModuleType) -> Callable[..., dict[str, Tensor]]:
    def random_state(architecture: str = "skip", colours: int = 3) -> dict[str, Tensor]:
        return plain.random_state(16, 64, 10, w_dim=8, colours=colours, architecture=architecture)

    return random_state


def whole(root: Any) -> Content:
    return Content(container="pickle", root=root, metadata={}, size=10**7)


def same(checkpoint: Checkpoint, state: Mapping[str, Tensor]) -> None:
    assert checkpoint.architecture == "stylegan2"
    assert set(checkpoint.state) == set(state)
    for name, value in checkpoint.state.items():
        assert value.is_contiguous() and value.dtype == torch.float32
        torch.testing.assert_close(value, state[name], rtol=0, atol=1e-6, msg=name)


def read(module: ModuleType, root: Any) -> Checkpoint:
    content = whole(root)
    assert [other for other in FORMATS if other.matches(content)] == [module]
    return module.read(content)


def draw(checkpoint: Checkpoint, ws: Tensor) -> Tensor:
    generator = StyleGAN2.for_state(checkpoint.state, checkpoint.config)
    generator.load_state_dict(checkpoint.state)
    return generator.requires_grad_(False).synthesize(ws=ws)


# --- NVlabs ----------------------------------------------------------------------------------------------------------

FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def persistent(
    class_name: str, tensors: Mapping[str, Tensor], modules: Mapping[str, Any], attributes: Mapping[str, Any]
) -> Instance:
    """A module as NVlabs' persistence writes it; 0-d and noise tensors apart are of no concern to the reader."""
    buffers = {name: v for name, v in tensors.items() if name in ("w_avg", "noise_const", "resample_filter")}
    state = {
        "training": False,
        "_parameters": {name: value for name, value in tensors.items() if name not in buffers} | {"absent": None},
        "_buffers": buffers,
        "_modules": dict(modules),
        **attributes,
    }
    arguments = {"type": "class", "version": 6, "module_src": "never run", "class_name": class_name, "state": state}
    return Instance(nvlabs.PERSISTENT, (arguments,))


def nvlabs_tree(state: Mapping[str, Tensor], architecture: str, clamp: Any = None, **mapping: Any) -> Instance:
    """The tree of a state dict in our names."""
    names = {"mapping.w_avg" if name == "w_avg" else name: value for name, value in state.items()}

    def module(prefix: str) -> Instance:
        own = {name.removeprefix(prefix): value for name, value in names.items() if name.startswith(prefix)}
        tensors = {name: value for name, value in own.items() if "." not in name}
        children = list(dict.fromkeys(name.split(".")[0] for name in own if "." in name))
        last = prefix.rstrip(".").rpartition(".")[2]
        attributes: dict[str, Any] = {}
        if last in ("conv0", "conv1", "torgb"):
            attributes = {"conv_clamp": clamp, "activation": "lrelu", "use_noise": True}
        if last == "skip":
            attributes = {"conv_clamp": None, "activation": "linear"}
        if last.startswith("fc"):
            inputs = tensors["weight"].shape[1]
            attributes = {"activation": "lrelu", "weight_gain": 0.01 / math.sqrt(inputs), "bias_gain": 0.01, **mapping}
        if last in ("conv0", "conv1", "skip") or last.startswith("b"):
            tensors["resample_filter"] = FILTER
        if last.startswith("b"):
            attributes = {"architecture": architecture}
        return persistent(last or "Generator", tensors, {n: module(f"{prefix}{n}.") for n in children}, attributes)

    return module("")


def inside(tree: Instance, *path: str) -> dict[str, Any]:
    """State of a module of a tree."""
    state = tree.args[0]["state"]
    return inside(state["_modules"][path[0]], *path[1:]) if path else state


@pytest.mark.parametrize("architecture", ["skip", "orig", "resnet"])
def test_nvlabs(make: Callable[..., dict[str, Tensor]], plain: ModuleType, architecture: str) -> None:
    state = make(architecture, colours=1)
    strided = {
        name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
        for name, value in state.items()
    }
    tree = nvlabs_tree(strided, architecture, clamp=1.25)
    checkpoint = read(nvlabs, {"G": nvlabs_tree(make(), "skip"), "D": None, "G_ema": tree, "augment_pipe": None})
    same(checkpoint, state)
    assert checkpoint.config == {"conv_clamp": 1.25}
    assert any(note.startswith("G:") for note in checkpoint.ignored)
    ws = normal(range(2), (6, 8))
    torch.testing.assert_close(draw(checkpoint, ws), plain.plain_synthesis(state, ws, clamp=1.25), rtol=1e-5, atol=1e-5)


def test_nvlabs_without_averaged_weights_or_alone(make: Callable[..., dict[str, Tensor]]) -> None:
    state = make()
    tree = nvlabs_tree(state, "skip")
    lacking = read(nvlabs, {"G": tree, "D": None})
    same(lacking, state)
    assert "no G_ema" in lacking.ignored[0]
    assert "no G_ema" in read(nvlabs, {"G": tree, "G_ema": None}).ignored[0]
    alone = read(nvlabs, tree)
    same(alone, state)
    assert alone.ignored == () and alone.config == {}


def test_nvlabs_facts_that_tensors_do_not_show(make: Callable[..., dict[str, Tensor]]) -> None:
    state = make()
    slow = nvlabs_tree(state, "skip", weight_gain=0.1 / math.sqrt(8), bias_gain=0.1)
    assert read(nvlabs, slow).config == {"lr_multiplier": 0.1}
    quiet = nvlabs_tree(state, "skip")
    inside(quiet, "synthesis", "b8", "conv0")["use_noise"] = False
    same(read(nvlabs, quiet), {k: v for k, v in state.items() if not k.startswith("synthesis.b8.conv0.noise")})
    bare = nvlabs_tree({name: value for name, value in state.items() if name != "w_avg"}, "skip")
    checkpoint = read(nvlabs, bare)
    assert any("w_avg" in note for note in checkpoint.ignored)
    generator = StyleGAN2.for_state(checkpoint.state, {})
    generator.load_state_dict(checkpoint.state)
    with torch.no_grad():
        mean = generator.map_to_w(normal(range(10**6, 10**6 + 4096), (8,))).mean(dim=0)
    assert float((mean - generator.w_avg).abs().max()) < 0.1 < float(generator.w_avg.abs().max())


@pytest.mark.parametrize(
    ("path", "name", "value", "message"),
    [
        (("synthesis", "b8", "conv0"), "conv_clamp", 3, "different conv_clamp"),
        (("synthesis", "b8", "conv0"), "activation", "relu", "activation 'relu'"),
        (("mapping", "fc1"), "activation", "linear", "activation 'linear'"),
        (("mapping", "fc1"), "bias_gain", 1, "different gains"),
        (("mapping", "fc1"), "bias_gain", "1", "not a number"),
        (("synthesis", "b8"), "architecture", "resnet", "called 'resnet'"),
        (("synthesis", "b8"), "_modules", None, "not a table"),
        (("synthesis", "b8"), "_buffers", {"resample_filter": FILTER * 4}, "filter"),
        (("synthesis", "b8"), "_parameters", {"weight": "text"}, "not a tensor"),
        (("synthesis", "b8"), "_modules", {"conv0": "text"}, "not a persistent module"),
    ],
)
def test_nvlabs_refusals(
    make: Callable[..., dict[str, Tensor]], path: tuple[str, ...], name: str, value: Any, message: str
) -> None:
    tree = nvlabs_tree(make(), "skip")
    inside(tree, *path)[name] = value
    with pytest.raises(CheckpointError, match=message):
        nvlabs.read(whole(tree))


def test_trees_that_contain_themselves_or_never_end_are_refused() -> None:
    cycle = persistent("Generator", {}, {}, {})
    inside(cycle)["_modules"]["synthesis"] = cycle
    level = persistent("leaf", {}, {}, {})
    for _ in range(12):
        level = persistent("node", {}, dict.fromkeys("abcdefgh", level), {})
    for tree in (cycle, level):
        assert not any(module.matches(whole({"G_ema": tree})) for module in FORMATS)
        with pytest.raises(CheckpointError, match="modules"):
            nvlabs.network_of(whole({"G_ema": tree}))


def test_a_hostile_source_text_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (path,) = (GOLDEN / "evil").glob("E2*.pkl")
    checkpoint = nvlabs.read(read_content(path))
    recorded = np.load(path.with_suffix(".npz"))
    for name, value in checkpoint.state.items():
        theirs = recorded["sd/mapping.w_avg" if name == "w_avg" else f"sd/{name}"]
        assert np.array_equal(value.numpy(), theirs), name
    image = draw(checkpoint, torch.from_numpy(recorded["ws"]))
    np.testing.assert_allclose(image.numpy(), recorded["img_const"], rtol=0, atol=1e-5)
    assert list(tmp_path.iterdir()) == []


# --- rosinality ------------------------------------------------------------------------------------------------------


def as_rosinality(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names as rosinality's, layer by layer."""
    theirs = {"input.input": state["synthesis.b4.const"][None]}
    for i in range(2):
        for part in ("weight", "bias"):
            theirs[f"style.{i + 1}.{part}"] = state[f"mapping.fc{i}.{part}"]
    convs = [("conv1", "b4.conv1"), ("convs.0", "b8.conv0"), ("convs.1", "b8.conv1")]
    convs += [("convs.2", "b16.conv0"), ("convs.3", "b16.conv1")]
    for i, (name, ours) in enumerate(convs):
        layer = f"synthesis.{ours}"
        theirs[f"{name}.conv.weight"] = state[f"{layer}.weight"][None]
        theirs[f"{name}.activate.bias"] = state[f"{layer}.bias"]
        theirs[f"{name}.noise.weight"] = state[f"{layer}.noise_strength"].reshape(1)
        theirs[f"noises.noise_{i}"] = state[f"{layer}.noise_const"][None, None]
        for part in ("weight", "bias"):
            theirs[f"{name}.conv.modulation.{part}"] = state[f"{layer}.affine.{part}"]
        if name in ("convs.0", "convs.2"):
            theirs[f"{name}.conv.blur.kernel"] = FILTER * 4
    for name, ours in [("to_rgb1", "b4"), ("to_rgbs.0", "b8"), ("to_rgbs.1", "b16")]:
        layer = f"synthesis.{ours}.torgb"
        theirs[f"{name}.conv.weight"] = state[f"{layer}.weight"][None]
        theirs[f"{name}.bias"] = state[f"{layer}.bias"][None, :, None, None]
        for part in ("weight", "bias"):
            theirs[f"{name}.conv.modulation.{part}"] = state[f"{layer}.affine.{part}"]
        if name != "to_rgb1":
            theirs[f"{name}.upsample.kernel"] = FILTER * 4
    return theirs


@pytest.mark.parametrize("shape", [(8,), (1, 8), (6, 8), (1, 6, 8)])
def test_rosinality(make: Callable[..., dict[str, Tensor]], shape: tuple[int, ...]) -> None:
    state = make()
    mean = state["w_avg"].expand(shape)
    checkpoint = read(rosinality, {"g_ema": as_rosinality(state), "g": {}, "latent_avg": mean})
    same(checkpoint, state)
    assert checkpoint.config == {"scaled_demodulation": True}
    assert checkpoint.ignored == ("g: not the generator used",)


WRAPPINGS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "bare": (lambda ema, _: ema, "assumed: the weights are averaged"),
    "parallel": (
        lambda ema, _: {"state_dict": {f"module.{name}": value for name, value in ema.items()}, "step": 1},
        "step: not the generator used",
    ),
    "params_ema": (lambda ema, plain: {"params": plain, "params_ema": ema}, "params: not the generator used"),
    "ema": (lambda ema, plain: {"generator": plain, "ema": ema}, "generator: not the generator used"),
    "state_dict": (lambda ema, _: {"state_dict": ema, "epoch": 3}, "epoch: not the generator used"),
    "netG": (lambda ema, _: {"netG": {f"module.{name}": value for name, value in ema.items()}}, "not averaged"),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("format_", [rosinality, genforce_stylegan2], ids=["rosinality", "genforce"])
def test_where_a_file_keeps_its_generator(make: Callable[..., dict[str, Tensor]], format_: Any, wrapping: str) -> None:
    """Averaged weights are preferred wherever both are; what was chosen is said."""
    theirs = as_rosinality if format_ is rosinality else as_genforce
    wrap, note = WRAPPINGS[wrapping]
    state, other = make(), make("skip", 1)
    root = wrap(theirs(state), theirs(other))
    if format_ is rosinality:
        root["latent_avg"] = state["w_avg"]
    checkpoint = read(format_, root)
    same(checkpoint, state)
    assert any(note in line for line in checkpoint.ignored), checkpoint.ignored


def test_rosinality_that_lacks_parts(make: Callable[..., dict[str, Tensor]]) -> None:
    state = make()
    theirs = {name: value for name, value in as_rosinality(state).items() if not name.startswith("noises")}
    checkpoint = read(rosinality, {"g": theirs})
    assert "no g_ema" in checkpoint.ignored[0]
    assert any("mean of 16384 samples" in note for note in checkpoint.ignored)
    quiet = {name: value for name, value in state.items() if not name.endswith("noise_const")}
    same(checkpoint, {**quiet, "w_avg": checkpoint.state["w_avg"]})


def test_the_decoder_of_an_encoder(make: Callable[..., dict[str, Tensor]]) -> None:
    """PSp and e4e keep the generator beside the encoder, and one mean w for each row."""
    state = make(colours=1)
    decoder = {f"decoder.{name}": value for name, value in as_rosinality(state).items()}
    rows = state["w_avg"] + torch.arange(6.0)[:, None] - 2.5
    saved = {"state_dict": {"encoder.body.0.weight": torch.zeros(3), **decoder}, "latent_avg": rows, "opts": {}}
    checkpoint = read(rosinality, saved)
    same(checkpoint, state)
    assert any("6 rows" in note for note in checkpoint.ignored)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("convs.0.conv.blur.kernel", FILTER, "filter"),
        ("to_rgbs.0.upsample.kernel", torch.ones(4, 4) / 4, "filter"),
        ("to_rgb1.iwt.ll", torch.zeros(2, 2), "not part of a StyleGAN2"),  # SWAGAN
        ("convs.0.conv.weight", torch.zeros(2, 10, 10, 3, 3), "wanted 4 axes"),
        ("convs.999999999.conv.weight", torch.zeros(1), "not part of a StyleGAN2"),
        ("conv1.noise.weight", "text", "tensor"),
    ],
)
def test_rosinality_refusals(make: Callable[..., dict[str, Tensor]], name: str, value: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        rosinality.read(whole({"g_ema": {**as_rosinality(make()), name: value}}))


# --- genforce --------------------------------------------------------------------------------------------------------


def as_genforce(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names as genforce's, layer by layer."""
    theirs = {"truncation.w_avg": state["w_avg"], "synthesis.early_layer.const": state["synthesis.b4.const"][None]}
    theirs["synthesis.upsample.kernel"] = FILTER[None, None] * 4
    for i in range(2):
        for part in ("weight", "bias"):
            theirs[f"mapping.dense{i}.{part}"] = state[f"mapping.fc{i}.{part}"]
    layers = {
        f"layer{i}": name for i, name in enumerate(["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"])
    }
    for name, ours in [*layers.items(), *((f"output{i}", f"b{4 * 2**i}.torgb") for i in range(3))]:
        layer, here = f"synthesis.{ours}", f"synthesis.{name}"
        if f"{layer}.weight" not in state:
            continue
        theirs[f"{here}.weight"] = state[f"{layer}.weight"]
        theirs[f"{here}.bias"] = state[f"{layer}.bias"]
        theirs[f"{here}.style.weight"] = state[f"{layer}.affine.weight"]
        theirs[f"{here}.style.bias"] = state[f"{layer}.affine.bias"] - 1
        if name.startswith("layer"):
            theirs[f"{here}.noise_strength"] = state[f"{layer}.noise_strength"]
            theirs[f"{here}.noise"] = state[f"{layer}.noise_const"][None, None]
        if ours.endswith("conv0"):
            theirs[f"{here}.weight"] = torch.flip(state[f"{layer}.weight"], (2, 3))
            theirs[f"{here}.filter.kernel"] = FILTER[None, None] * 4
    return theirs


@pytest.mark.parametrize("architecture", ["skip", "orig"])
@pytest.mark.parametrize("layout", ["release", "training", "parallel", "not averaged"])
def test_genforce(make: Callable[..., dict[str, Tensor]], layout: str, architecture: str) -> None:
    state = make(architecture)
    theirs = as_genforce(state)
    networks: dict[str, Any] = {"generator": as_genforce(make(architecture, 1)), "generator_smooth": theirs}
    if layout == "training":
        networks = {"models": networks, "optimizers": {}}
    elif layout == "parallel":
        networks["generator_smooth"] = {f"module.{name}": value for name, value in theirs.items()}
    elif layout == "not averaged":
        networks = {"generator": theirs}
    checkpoint = read(genforce_stylegan2, networks)
    same(checkpoint, state)
    assert checkpoint.config == {"scaled_demodulation": True}
    assert (
        ("no generator_smooth" in checkpoint.ignored[0]) == (layout == "not averaged") if checkpoint.ignored else True
    )


def test_genforce_with_classes(make: Callable[..., dict[str, Tensor]]) -> None:
    state = make() | {"mapping.label_weight": normal([0], (3, 8))[0], "mapping.fc0.weight": normal([1], (8, 16))[0]}
    theirs = as_genforce(state) | {"mapping.label_weight": state["mapping.label_weight"]}
    checkpoint = read(genforce_stylegan2, {"generator_smooth": theirs})
    same(checkpoint, state)
    assert StyleGAN2.for_state(checkpoint.state, checkpoint.config).label_dim == 3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("truncation.w_avg", torch.zeros(6 * 8), "repeat_w=False"),
        ("synthesis.layer1.filter.kernel", torch.ones(1, 1, 4, 4), "filter"),
        ("synthesis.layer1.weight", torch.zeros(3), "wanted 4 axes"),
        ("synthesis.layer77777.weight", torch.zeros(3), "not part of a StyleGAN2"),
    ],
)
def test_genforce_refusals(make: Callable[..., dict[str, Tensor]], name: str, value: Tensor, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        genforce_stylegan2.read(whole({"generator_smooth": {**as_genforce(make()), name: value}}))


# --- TensorFlow ------------------------------------------------------------------------------------------------------


def network(variables: Mapping[str, Any], components: Mapping[str, Any], kwargs: Mapping[str, Any]) -> Instance:
    found = Instance("dnnlib.tflib.network.Network")
    found.state = {
        "version": 4,
        "name": "G",
        "static_kwargs": dict(kwargs),
        "components": dict(components),
        "build_module_src": "never run",
        "variables": [(name, np.asarray(value, dtype=np.float32)) for name, value in variables.items()],
    }
    return found


def as_tensorflow(
    state: Mapping[str, Tensor], kwargs: Mapping[str, Any] | None = None, extra: Mapping[str, Any] | None = None
) -> tuple[Instance, Instance, Instance]:
    """Our names as the official code's, layer by layer."""
    mapping: dict[str, Any] = {**(extra or {})}
    for i in range(2):
        mapping[f"Dense{i}/weight"] = state[f"mapping.fc{i}.weight"].numpy().T
        mapping[f"Dense{i}/bias"] = state[f"mapping.fc{i}.bias"]
    synthesis: dict[str, Any] = {"4x4/Const/const": state["synthesis.b4.const"][None]}
    convs = [("4x4/Conv", "b4.conv1")]
    for size in SIZES[1:]:
        convs += [(f"{size}x{size}/Conv0_up", f"b{size}.conv0"), (f"{size}x{size}/Conv1", f"b{size}.conv1")]
    for i, (name, ours) in enumerate(convs):
        kernel = state[f"synthesis.{ours}.weight"].numpy()
        if name.endswith("Conv0_up"):
            kernel = kernel[:, :, ::-1, ::-1]
        synthesis[f"noise{i}"] = state[f"synthesis.{ours}.noise_const"][None, None]
        synthesis[f"{name}/noise_strength"] = state[f"synthesis.{ours}.noise_strength"]
        synthesis |= _tensorflow_layer(state, name, ours, kernel)
    original = "synthesis.b4.torgb.weight" not in state and "synthesis.b8.skip.weight" not in state
    for i, size in enumerate(SIZES):
        if f"synthesis.b{size}.torgb.weight" in state:
            name = "ToRGB_lod0" if original else f"{size}x{size}/ToRGB"
            kernel = state[f"synthesis.b{size}.torgb.weight"].numpy()
            synthesis |= _tensorflow_layer(state, name, f"b{size}.torgb", kernel)
        elif original:
            synthesis[f"ToRGB_lod{len(SIZES) - 1 - i}/weight"] = np.zeros((1, 1, 10, 3))
        if f"synthesis.b{size}.skip.weight" in state:
            kernel = state[f"synthesis.b{size}.skip.weight"].numpy()
            synthesis[f"{size}x{size}/Skip/weight"] = kernel.transpose(2, 3, 1, 0)
    parts = {"mapping": network(mapping, {}, {}), "synthesis": network(synthesis, {}, kwargs or {})}
    average = network({"lod": 0.0, "dlatent_avg": state["w_avg"]}, parts, {})
    return network({}, {}, {}), network({}, {}, {}), average


def _tensorflow_layer(state: Mapping[str, Tensor], name: str, ours: str, kernel: np.ndarray) -> dict[str, Any]:
    return {
        f"{name}/weight": kernel.transpose(2, 3, 1, 0),
        f"{name}/bias": state[f"synthesis.{ours}.bias"],
        f"{name}/mod_weight": state[f"synthesis.{ours}.affine.weight"].numpy().T,
        f"{name}/mod_bias": state[f"synthesis.{ours}.affine.bias"] - 1,
    }


@pytest.mark.parametrize("architecture", ["skip", "orig", "resnet"])
def test_tensorflow(make: Callable[..., dict[str, Tensor]], architecture: str) -> None:
    state = make(architecture)
    checkpoint = read(tensorflow_stylegan2, as_tensorflow(state, {"resample_kernel": [1, 3, 3, 1]}))
    same(checkpoint, state)
    assert checkpoint.config == {}
    assert any("ToRGB_lod2" in note for note in checkpoint.ignored) == (architecture == "orig")


def test_tensorflow_arguments(make: Callable[..., dict[str, Tensor]]) -> None:
    state = make()
    checkpoint = read(tensorflow_stylegan2, as_tensorflow(state, {"mapping_lrmul": 0.1, "conv_clamp": 256}))
    assert checkpoint.config == {"lr_multiplier": 0.1, "conv_clamp": 256}
    for wrong in ({"resample_kernel": [1, 2, 1]}, {"nonlinearity": "relu"}, {"normalize_latents": False}):
        with pytest.raises(CheckpointError, match="built with"):
            tensorflow_stylegan2.read(whole(as_tensorflow(state, wrong)))
    growing = as_tensorflow(state)
    growing[2].state["variables"][0] = ("lod", np.array(1.5, np.float32))
    with pytest.raises(CheckpointError, match="progressive growing"):
        tensorflow_stylegan2.read(whole(growing))
    for name in ("Extra/weight", "noise12345", "8x16/Conv1/weight"):
        with pytest.raises(CheckpointError, match="not part of"):
            tensorflow_stylegan2.read(whole(as_tensorflow(state, extra={name: np.zeros(2)})))


def test_tensorflow_with_classes(make: Callable[..., dict[str, Tensor]]) -> None:
    wide = make() | {"mapping.fc0.weight": normal([1], (8, 16))[0]}
    concat, weight, bias = normal([0], (3, 8))[0], normal([2], (8, 3))[0], normal([3], (8,))[0]
    same(
        read(tensorflow_stylegan2, as_tensorflow(wide, extra={"LabelConcat/weight": concat})),
        wide | {"mapping.label_weight": concat},
    )
    embed = {"LabelEmbed/weight": weight.T, "LabelEmbed/bias": bias}
    same(
        read(tensorflow_stylegan2, as_tensorflow(wide, extra=embed)),
        wide | {"mapping.embed.weight": weight, "mapping.embed.bias": bias},
    )
