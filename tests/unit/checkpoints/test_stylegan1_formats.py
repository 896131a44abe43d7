"""StyleGAN1 in every layout: one network written in each, against an implementation of its own with the fused path."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints import FORMATS as registered
from ganvert.checkpoints import genforce_stylegan1, idinvert, tensorflow_stylegan1
from ganvert.checkpoints.base import Checkpoint, Content, Instance
from ganvert.checkpoints.containers import read_content
from ganvert.compute.random import normal
from ganvert.generators.base import SynthesisInput
from ganvert.generators.stylegan1 import StyleGAN1

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"
FORMATS = {"genforce": genforce_stylegan1, "flat": idinvert, "tensorflow": tensorflow_stylegan1}
Z, W = 6, 5


@dataclasses.dataclass
class Net:
    """A 128 px network as its formulas name it: kernels [O, I, 3, 3] as stored by the code that draws below."""

    dense: list[tuple[Tensor, Tensor]]
    layers: list[dict[str, Tensor]]
    output: tuple[Tensor, Tensor]
    mean: Tensor
    labels: Tensor | None = None
    tanh: bool = False
    fused_from: int = 128

    def map(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = z.double()
        if self.labels is not None:
            assert labels is not None
            x = torch.cat([x, labels.double() @ self.labels.double()], dim=1)
        x = x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
        for weight, bias in self.dense:
            x = x @ weight.double().T * (math.sqrt(2) * 0.01 / math.sqrt(weight.shape[1])) + 0.01 * bias.double()
            x = torch.where(x > 0, x, 0.2 * x)
        return x.unflatten(1, (-1, W)).expand(-1, len(self.layers), -1)

    def draw(self, ws: Tensor) -> Tensor:
        x = torch.zeros(())
        for i, layer in enumerate(self.layers):
            layer = {name: value.double() for name, value in layer.items()}
            size = 4 * 2 ** (i // 2)
            if i == 0:
                x = layer["const"].expand(len(ws), -1, -1, -1)
            else:
                kernel = layer["weight"] * math.sqrt(2 / layer["weight"][0].numel())
                if i % 2:
                    x = F.conv2d(x, kernel, padding=1)
                elif size < self.fused_from:
                    x = F.conv2d(x.repeat_interleave(2, 2).repeat_interleave(2, 3), kernel, padding=1)
                else:
                    wide = F.pad(kernel, (1, 1, 1, 1))
                    wide = wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]
                    x = F.conv_transpose2d(x, wide.transpose(0, 1), stride=2, padding=1)
                if i % 2 == 0:
                    x = F.conv2d(x, blur_kernel(x.shape[1]).double(), padding=1, groups=x.shape[1])
            x = x + layer["noise"] * layer["strength"].view(1, -1, 1, 1) + layer["bias"].view(1, -1, 1, 1)
            x = torch.where(x > 0, x, 0.2 * x)
            x = x - x.mean(dim=(2, 3), keepdim=True)
            x = x / (x.square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt()
            style = ws[:, i].double() @ layer["style_weight"].T / math.sqrt(W) + layer["style_bias"]
            scale, shift = style[:, :, None, None].chunk(2, dim=1)
            x = x * (scale + 1) + shift
        weight, bias = (value.double() for value in self.output)
        image = torch.einsum("nchw,oc->nohw", x, weight[:, :, 0, 0] / math.sqrt(weight.shape[1])) + bias.view(
            1, -1, 1, 1
        )
        return image.tanh() if self.tanh else image


def blur_kernel(channels: int) -> Tensor:
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    return torch.outer(line, line).repeat(channels, 1, 1, 1)


def make(*, rows: bool = False, labels: int = 0, size: int = 128, **facts: Any) -> Net:
    source = torch.Generator().manual_seed(4)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source)

    count = 2 * int(math.log2(size)) - 2
    channels = [max(2, 8 - i // 2) for i in range(count)]
    layers = []
    for i, c in enumerate(channels):
        r = 4 * 2 ** (i // 2)
        layer = {"noise": random(1, 1, r, r), "strength": random(c), "bias": random(c)}
        layer |= {"style_weight": random(2 * c, W), "style_bias": random(2 * c)}
        layers.append(
            {**layer, **({"weight": random(c, channels[i - 1], 3, 3)} if i else {"const": random(1, c, 4, 4)})}
        )
    widths = [Z * (1 + bool(labels)), 7, W * (count if rows else 1)]
    return Net(
        dense=[(100 * random(out, before), random(out)) for before, out in itertools.pairwise(widths)],
        layers=layers,
        output=(random(3, channels[-1], 1, 1), random(3)),
        mean=random(W),
        labels=random(labels, Z) if labels else None,
        **facts,
    )


def genforce_state(net: Net) -> dict[str, Any]:
    state: dict[str, Any] = {"truncation.w_avg": net.mean, "synthesis.lod": torch.zeros(())}
    for i, (weight, bias) in enumerate(net.dense):
        state |= {f"mapping.dense{i}.weight": weight, f"mapping.dense{i}.bias": bias}
    if net.labels is not None:
        state["mapping.label_weight"] = net.labels
    for i, layer in enumerate(net.layers):
        name = f"synthesis.layer{i}"
        state |= {
            f"{name}.bias": layer["bias"],
            f"{name}.apply_noise.weight": layer["strength"],
            f"{name}.apply_noise.noise": layer["noise"],
            f"{name}.style.weight": layer["style_weight"],
            f"{name}.style.bias": layer["style_bias"],
        }
        part = "weight" if i else "const"
        state[f"{name}.{part}"] = layer[part]
        channels = len(layer["bias"])
        if i and i % 2 == 0:
            state[f"{name}.blur.kernel"] = blur_kernel(channels)
        if i % 2:
            last = i == len(net.layers) - 1
            state[f"synthesis.output{i // 2}.weight"] = net.output[0] if last else torch.ones(3, channels, 1, 1)
            state[f"synthesis.output{i // 2}.bias"] = net.output[1] if last else torch.ones(3)
    return state


def flat_state(net: Net, linear: str, const: str) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for name, value in genforce_state(net).items():
        parts = name.split(".")
        if parts[1].startswith("dense"):
            name = f"mapping.{parts[1]}." + (f"{linear}.weight" if parts[2] == "weight" else "wscale.bias")
        elif parts[1].startswith("output") and parts[2] == "weight":
            name = f"synthesis.{parts[1]}.conv.weight"
        elif parts[1].startswith("layer") and parts[2] == "const":
            name = f"synthesis.layer0.{const}"
        elif parts[1].startswith("layer") and parts[2] == "style":
            tail = f"{linear}.weight" if parts[3] == "weight" else "wscale.bias"
            name = f"synthesis.{parts[1]}.epilogue.style_mod.dense.{tail}"
        elif parts[1].startswith("layer") and parts[2] in ("bias", "apply_noise"):
            name = ".".join(["synthesis", parts[1], "epilogue", *parts[2:]])
        elif parts[1].startswith("layer") and parts[2] == "weight":
            index = int(parts[1].removeprefix("layer"))
            if index % 2 == 0 and 4 * 2 ** (index // 2) >= net.fused_from:
                value = value.permute(2, 3, 1, 0)
            else:
                name = f"synthesis.{parts[1]}.conv.weight"
        state[name] = value
    return {**state, "truncation.truncation": torch.ones(1, len(net.layers), 1)}


def network(variables: dict[str, Any], components: dict[str, Instance], **kwargs: Any) -> Instance:
    made = Instance("dnnlib.tflib.network.Network")
    made.state = {
        "version": 3,
        "name": "Gs",
        "static_kwargs": kwargs,
        "components": components,
        "build_module_src": "raise SystemExit",
        "build_func_name": "G_style",
        "variables": list(variables.items()),
    }
    return made


def tensorflow_root(net: Net, **kwargs: Any) -> tuple[Instance, Instance, Instance]:
    mapping: dict[str, Any] = {}
    for i, (weight, bias) in enumerate(net.dense):
        mapping |= {f"Dense{i}/weight": weight.numpy().T, f"Dense{i}/bias": bias.numpy()}
    if net.labels is not None:
        mapping["LabelConcat/weight"] = net.labels.numpy()
    synthesis: dict[str, Any] = {"lod": 0.0}
    for i, layer in enumerate(net.layers):
        size = 4 * 2 ** (i // 2)
        scope = ["4x4/Const", "4x4/Conv"][i] if i < 2 else f"{size}x{size}/" + ["Conv0_up", "Conv1"][i % 2]
        synthesis |= {
            f"noise{i}": layer["noise"].numpy(),
            f"{scope}/bias": layer["bias"].numpy(),
            f"{scope}/Noise/weight": layer["strength"].numpy(),
            f"{scope}/StyleMod/weight": layer["style_weight"].numpy().T,
            f"{scope}/StyleMod/bias": layer["style_bias"].numpy(),
        }
        if i:
            synthesis[f"{scope}/weight"] = layer["weight"].numpy().transpose(2, 3, 1, 0)
        else:
            synthesis[f"{scope}/const"] = layer["const"].numpy()
    synthesis |= {
        "ToRGB_lod0/weight": net.output[0].numpy().transpose(2, 3, 1, 0),
        "ToRGB_lod0/bias": net.output[1].numpy(),
        "ToRGB_lod1/weight": np.ones((1, 1, 2, 3), np.float32),
        "ToRGB_lod1/bias": np.ones(3, np.float32),
    }
    parts = {"mapping": network(mapping, {}), "synthesis": network(synthesis, {}, **kwargs)}
    smooth = network({"dlatent_avg": net.mean.numpy()}, parts, resolution=128)
    other = network({"dlatent_avg": np.zeros(W, np.float32)}, {})
    return other, other, smooth


def content(root: Any) -> Content:
    return Content("pickle", root, {}, 1 << 20)


def load(checkpoint: Checkpoint) -> StyleGAN1:
    assert checkpoint.architecture == "stylegan1"
    assert all(value.is_contiguous() and value.dtype == torch.float32 for value in checkpoint.state.values())
    generator = StyleGAN1.for_state(checkpoint.state, checkpoint.config)
    generator.load_state_dict(checkpoint.state)
    return generator.requires_grad_(False).double()


def read(root: Any, name: str) -> Checkpoint:
    """By the format that should match it, and no other of the three does."""
    file = content(root)
    assert [key for key, format_ in FORMATS.items() if format_.matches(file)] == [name]
    checkpoint = FORMATS[name].read(file)
    assert registered[checkpoint.format].read is FORMATS[name].read
    return checkpoint


def agree(generator: StyleGAN1, net: Net) -> None:
    """Codes and pictures; the float32 files are the truth, so that both sides can compute in float64."""
    z = normal(range(2), (Z,)).double()
    labels = None if net.labels is None else torch.eye(len(net.labels))[:2].double()
    ws = net.map(z, labels)
    torch.testing.assert_close(generator.map(z, labels), ws, rtol=0, atol=1e-10)
    mixed = ws + normal(range(2), ws.shape[1:]).double()
    torch.testing.assert_close(generator.synthesize(ws=mixed), net.draw(mixed), rtol=0, atol=1e-8)


def training_run(state: dict[str, Any]) -> dict[str, Any]:
    networks = {"generator": {"a": torch.zeros(1)}, "generator_smooth": state, "discriminator": {}}
    return {"models": networks, "running_metadata": {"iter": 3}, "optimizers": {}, "learning_rates": {}}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"generator": {}, "discriminator": {}, "generator_smooth": state},
        training_run,
        lambda state: {"generator_smooth": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {"generator": state},
    ],
    ids=["release", "training", "parallel", "not_averaged"],
)
def test_genforce(wrap: Callable[[dict[str, Any]], Any]) -> None:
    net = make()
    root = wrap(genforce_state(net))
    checkpoint = read(root, "genforce")
    agree(load(checkpoint), net)
    notes = "\n".join(checkpoint.ignored)
    assert "assumed: layers that upsample to 128 px" in notes
    assert "only the output of the largest resolution is used" in notes
    assert ("not averaged" in notes) == ("generator_smooth" not in str(root.get("models", root).keys()))


def test_genforce_in_the_older_torch_container(tmp_path: Path) -> None:
    net = make(size=32)
    path = tmp_path / "old.pth"
    torch.save({"generator_smooth": genforce_state(net)}, path, _use_new_zipfile_serialization=False)
    file = read_content(path)
    assert file.container == "torch_legacy"
    checkpoint = genforce_stylegan1.read(file)
    agree(load(checkpoint), net)
    assert "assumed" not in "\n".join(checkpoint.ignored)  # nothing doubles to 128 px


def test_genforce_with_labels() -> None:
    net = make(labels=3)
    generator = load(read({"generator_smooth": genforce_state(net)}, "genforce"))
    assert generator.label_dim == 3
    agree(generator, net)


def test_genforce_with_a_w_and_a_mean_for_every_layer() -> None:
    net = make(rows=True)
    rows = normal(range(12), (W,))
    generator = load(read({"generator_smooth": genforce_state(net) | {"truncation.w_avg": rows.flatten()}}, "genforce"))
    assert generator.rows_differ
    agree(generator, net)
    z = normal(range(2), (Z,)).double()
    full, cut = generator.map(z), generator.map(z, psi=0.7, cutoff=8)
    torch.testing.assert_close(cut[:, :8], rows[:8] + 0.7 * (full[:, :8] - rows[:8]))
    assert torch.equal(cut[:, 8:], full[:, 8:])
    torch.testing.assert_close(generator.w_avg, rows.double().mean(dim=0))


@pytest.mark.parametrize(("linear", "const", "tanh"), [("fc", "const", True), ("linear", "first_layer", False)])
@pytest.mark.parametrize("rows", [True, False])
def test_idinvert_and_interfacegan(linear: str, const: str, tanh: bool, rows: bool) -> None:
    net = make(rows=rows, tanh=tanh)
    checkpoint = read(flat_state(net, linear, const), "flat")
    generator = load(checkpoint)
    agree(generator, net)
    assert generator.rows_differ == rows
    assert generator.final_tanh == tanh
    notes = "\n".join(checkpoint.ignored)
    assert "truncation.truncation: give psi" in notes
    assert ("assumed: images end in tanh" in notes) == tanh


@pytest.mark.parametrize(
    ("kwargs", "fused_from"), [({}, 128), ({"fused_scale": True}, 8), ({"fused_scale": False}, 1 << 20)]
)
def test_tensorflow(kwargs: dict[str, Any], fused_from: int) -> None:
    net = make(fused_from=fused_from)
    agree(load(read(tensorflow_root(net, **kwargs), "tensorflow")), net)


def test_tensorflow_with_labels_and_another_learning_rate() -> None:
    net = make(labels=2, size=16)
    generator = load(read(tensorflow_root(net, blur_filter=[1, 2, 1], use_wscale=True), "tensorflow"))
    assert generator.label_dim == 2
    agree(generator, net)
    checkpoint = read(tensorflow_root(net, mapping_lrmul=0.02), "tensorflow")
    assert checkpoint.config == {"lr_multiplier": 0.02}
    for weight, bias in net.dense:
        weight.mul_(2), bias.mul_(2)
    agree(load(checkpoint), net)


def test_tensorflow_without_noise() -> None:
    net = make(size=16)
    root = tensorflow_root(net)
    synthesis = root[2].state["components"]["synthesis"].state
    synthesis["variables"] = [pair for pair in synthesis["variables"] if "oise" not in pair[0]]
    for layer in net.layers:
        layer["strength"].zero_()
    generator = load(read(root, "tensorflow"))
    agree(generator, net)
    ws = generator.map(normal([0], (Z,)).double())
    maps = [torch.ones(1, 1, *shape).double() for shape in generator.noise_shapes]
    assert torch.equal(generator.synthesize(ws=ws, noise=maps), generator.synthesize(ws=ws))


def test_networks_we_cannot_draw_are_refused() -> None:
    net = make(size=16)
    state = genforce_state(net)

    def refuse(match: str, **changed: Any) -> None:
        given = {name: value for name, value in {**state, **changed}.items() if value is not None}
        with pytest.raises(CheckpointError, match=match):
            load(read({"generator_smooth": given}, "genforce"))

    refuse("progressive growing", **{"synthesis.lod": torch.tensor(0.5)})
    refuse("blur other than", **{"synthesis.layer2.blur.kernel": torch.full((7, 1, 3, 3), 1 / 9)})
    refuse("lacks synthesis.layer1.weight", **{"synthesis.layer1.weight": None})
    refuse("lacks truncation.w_avg", **{"truncation.w_avg": None})
    refuse("mean w has shape", **{"truncation.w_avg": torch.zeros(W + 1)})
    refuse("wanted 2 axes", **{"synthesis.layer3.apply_noise.noise": torch.zeros(2, 1, 8, 8)})
    refuse("noise_const has shape .* wanted", **{"synthesis.layer3.apply_noise.noise": torch.zeros(1, 1, 7, 8)})
    refuse("floating-point", **{"synthesis.layer3.bias": torch.zeros(7, dtype=torch.int64)})
    refuse("floating-point", **{"synthesis.layer3.bias": "zero"})
    refuse(
        "not 5 layers", **{"synthesis.layer5.bias": None, "synthesis.output1.weight": state["synthesis.output2.weight"]}
    )
    flat = flat_state(make(), "fc", "const")
    with pytest.raises(CheckpointError, match="4 axes"):
        idinvert.read(content({**flat, "synthesis.layer10.weight": torch.zeros(3, 3)}))
    for kwargs in ({"blur_filter": None}, {"fused_scale": "yes"}, {"use_wscale": False}, {"mapping_lrmul": "much"}):
        with pytest.raises(CheckpointError, match=next(iter(kwargs))):
            tensorflow_stylegan1.read(content(tensorflow_root(net, **kwargs)))


@pytest.mark.parametrize("root", [None, 3, [], {}, {3: 4}, {"generator": 3}, {"models": {}}, (1, 2, 3), "x"])
def test_other_files_do_not_match(root: Any) -> None:
    assert not any(format_.matches(content(root)) for format_ in FORMATS.values())


def test_unknown_tensors_are_named() -> None:
    state = genforce_state(make(size=16)) | {"synthesis.attention": torch.zeros(1)}
    assert (
        "synthesis.attention: not part of a StyleGAN1"
        in genforce_stylegan1.read(content({"generator_smooth": state})).ignored
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("C1_genforce_stylegan1_64.pth", "genforce"),
        ("C3_idinvert_stylegan1_128.pth", "flat"),
        ("T1_tf_stylegan1_emulated.pkl", "tensorflow"),
    ],
)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 5e-5), (torch.float64, 2e-5)])
def test_files_written_by_the_peers_codes(file: str, name: str, dtype: torch.dtype, limit: float) -> None:
    outputs = np.load((GOLDEN / file).with_suffix(".npz"))
    theirs = {key: torch.from_numpy(outputs[key]).to(dtype) for key in outputs.files if key != "meta_json"}
    generator = load(read(read_content(GOLDEN / file).root, name)).to(dtype)
    ws = theirs["ws_mix"]

    def check(ours: Tensor, key: str) -> None:
        torch.testing.assert_close(ours[: len(theirs[key])], theirs[key], rtol=0, atol=limit)

    check(generator.map_to_w(theirs["z"]).flatten(1), "w")
    check(generator.synthesize(ws=ws), "img_mix_const")
    if "img_mix_none" in theirs:
        check(generator.synthesize(ws=ws, noise="none"), "img_mix_none")
    truncated = generator.map(theirs["z"], psi=0.7, cutoff=8)
    for codes, image in [("ws_psi0.7_layers8", "img_psi0.7_layers8_const"), ("wp_trunc", "img_trunc_const")]:
        if codes in theirs:
            check(truncated, codes)
            check(generator.synthesize(ws=truncated[:1]), image)
    styles = generator.styles(ws)
    features = generator.features(SynthesisInput(ws=ws[:1]), list(styles))
    for i, (layer, style) in enumerate(styles.items()):
        check(style, f"style/{layer}" if f"style/{layer}" in theirs else f"style/style{i:02d}")
        if f"feat/{layer}" in theirs:  # recorded behind the style, which acts after our feature point
            x = features[layer]
            x = (x - x.mean(dim=(2, 3), keepdim=True)) / x.std(dim=(2, 3), keepdim=True, correction=0)
            scale, shift = style[:1, :, None, None].chunk(2, dim=1)
            check(x * (scale + 1) + shift, f"feat/{layer}")
