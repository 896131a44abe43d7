"""Encoder files of other tools: recognised, converted, refused."""

from __future__ import annotations

import argparse
import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from ganvert.base.errors import CheckpointError, GanvertError, InputError, ParamsError
from ganvert.checkpoints.base import Checkpoint, Content, Instance
from ganvert.checkpoints.ganvert_file import save_generator
from ganvert.compute.random import normal
from ganvert.encoders import load_encoder
from ganvert.exchange.encoder_files import ENCODER_FILES, ReadOptions, psp
from ganvert.exchange.import_weights import cut_rows, encoder_state, import_weights
from ganvert.generators import Generator, load_generator
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import area_resize

from .conftest import golden

GOLDEN = Path(__file__).parents[2] / "golden" / "exchange" / "encoders"
HOSTILE = GOLDEN.parent / "hostile"


# --- the golden files -------------------------------------------------------------------------------------------------


def description(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def content_of(node: dict[str, Any], path: str = "", *, empty: bool = False, without: str = "-") -> Any:
    """Return the object that a node of a description stands for.

    Args:
        node: holds one of plain, shape, list, tuple, dict and ordered.
        path: the keys that lead to it; tensors are seeded by them.
        empty: tensors are zeros that take no memory.
        without: entries that begin so are left out.
    """

    def below(key: str, child: dict[str, Any]) -> Any:
        return content_of(child, f"{path}/{key}" if path else key, empty=empty, without=without)

    if "plain" in node:
        return node["plain"]
    if "shape" in node:
        return tensor_of(node, path, empty)
    for kind, make in (("list", list), ("tuple", tuple)):
        if kind in node:
            return make(below(str(i), child) for i, child in enumerate(node[kind]))
    items = node["ordered"] if "ordered" in node else node["dict"]
    return (OrderedDict if "ordered" in node else dict)(
        (key, below(str(key), child)) for key, child in items if not str(key).startswith(without)
    )


def tensor_of(node: dict[str, Any], path: str, empty: bool) -> Tensor:
    kind, shape = np.dtype(node.get("dtype", "float32")), node["shape"]
    if "values" in node:
        return torch.from_numpy(np.array(node["values"], kind).reshape(shape))
    if empty:
        return torch.zeros(()).expand(shape)
    if node.get("equal_rows"):
        return torch.from_numpy(golden(path, shape[-1:], node["at"], node["by"])).expand(shape).contiguous()
    return torch.from_numpy(golden(path, shape, node["at"], node["by"]).astype(kind))


def photographs(facts: Mapping[str, Any]) -> Tensor:
    """The pictures that the tools have seen: waves and noise, by way of 8 bits."""
    count, side = facts["inputs"]["count"], facts["inputs"]["side"]
    y, x = np.mgrid[0:side, 0:side] / side
    waves = np.empty((count, side, side, 3))
    for n in range(count):
        for c in range(3):
            along = np.sin(2 * np.pi * ((1 + n) * x + (2 + c - n) * y + 0.13 * c))
            across = np.cos(2 * np.pi * ((3 - n) * x * y + 0.21 * n))
            waves[n, :, :, c] = 0.5 * along + 0.3 * across + 0.1 * (c - 1)
    noise = golden(f"pictures/{count}/{side}", (count, side, side, 3), 0.0, 0.15)
    pixels = np.clip(np.rint((waves + noise + 1) * 127.5), 0, 255).astype(np.uint8)
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2) / np.float32(255)).sub(0.5).div(0.5)


def write(name: str, path: Path, *, without: str = "-") -> dict[str, Any]:
    facts = description(name)
    legacy = facts["container"] == "legacy"
    torch.save(content_of(facts["file"], without=without), path, _use_new_zipfile_serialization=not legacy)
    return facts


@pytest.fixture(scope="module")
def face_generator_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 rows of 512 and a feature of 512 channels at 16 px; random weights, and a w_avg that is not zero."""
    generator = MobileStyleGAN([512, 512, 512, 8, 8, 8, 8, 8, 8], z_dim=512, w_dim=512, mapping_layers=1)
    generator.w_avg.copy_(normal([0], (512,))[0])
    path = tmp_path_factory.mktemp("generator") / "face.safetensors"
    state = {name: value.detach() for name, value in generator.state_dict().items()}
    save_generator(path, Checkpoint(format="ganvert", architecture="mobile_stylegan", state=state, config={}), {})
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["e4e", "psp", "hyperstyle_w", "restyle_e4e", "fse"])
def test_codes_are_the_tools_own(name: str, tmp_path: Path, face_generator_file: Path) -> None:
    source, out = tmp_path / "theirs.pt", tmp_path / "ours.safetensors"
    # e4e and psp without their generators, which is another way in: they are then given, and the mean w is the file's.
    given = None if name in ("hyperstyle_w", "restyle_e4e") else face_generator_file
    facts = write(name, source, without="decoder." if given else "-")
    written = import_weights(source, out, generator=given)
    source.unlink()
    assert list(written) == [out] if given else [out, tmp_path / "ours_generator.safetensors"]
    generator = load_generator(given or tmp_path / "ours_generator.safetensors")
    encoder = load_encoder(out, generator)
    out.unlink()
    recorded = np.load(GOLDEN / f"{name}.npz")
    with torch.no_grad():
        passes = encoder.passes(photographs(facts)[:1])
    if name == "restyle_e4e":
        wanted = {"ws_1": passes[0]["ws"], "ws_5": passes[4]["ws"]}
    elif name == "fse":
        wanted = {"offsets": passes[0]["ws"] - generator.w_avg, "feature_part": passes[0]["f16"][:, ::8]}
    else:
        wanted = {"ws": passes[0]["ws"]}
    for part, value in wanted.items():
        np.testing.assert_allclose(value.numpy(), recorded[part][:1], rtol=0, atol=1e-4, err_msg=part)


# --- what a file is ---------------------------------------------------------------------------------------------------


def file_of(name: str, **changes: Any) -> Content:
    """The content of a golden file without numbers; `changes` replace entries, None removes them."""
    root = {**content_of(description(name)["file"], empty=True), **changes}
    root = {key: value for key, value in root.items() if value is not None}
    return Content("torch_zip", root, {}, 1 << 31)


def opts_of(name: str, **changes: Any) -> dict[str, Any]:
    return file_of(name).root["opts"] | changes


@pytest.mark.parametrize(
    ("name", "family", "tool", "space", "heads", "passes"),
    [
        ("e4e", "psp", "e4e", "wplus", {"progressive": {}}, 1),
        ("psp", "psp", "psp", "wplus", {"map2style": {}}, 1),
        ("hyperstyle_w", "psp", "w", "w", {"single": {}}, 1),
        ("restyle_e4e", "psp", "restyle_e4e", "wplus", {"progressive": {"coarsest": True}}, 5),
        ("fse", "feature_style", "feature_style", "fs16/wplus", {"pooled": {}, "content": {"size": 16}}, 1),
    ],
)
def test_files_are_known_by_their_content(
    name: str, family: str, tool: str, space: str, heads: dict[str, Any], passes: int
) -> None:
    content = file_of(name)
    assert [key for key, kind in ENCODER_FILES.items() if kind.matches(content)] == [family]
    foreign = ENCODER_FILES[family].read(content, ReadOptions())
    assert (foreign.tool, foreign.spec.space, foreign.spec.heads) == (tool, space, heads)
    assert (foreign.spec.passes, foreign.spec.input_px) == (passes, 256)


def test_what_is_no_encoder_is_not_taken_for_one(tiny_generator: MobileStyleGAN) -> None:
    roots: tuple[Any, ...] = (
        [],
        None,
        {},
        {"state_dict": 3},
        {"state_dict": {3: 4}},
        {"encoder": {"model.0.weight": "x"}},
    )
    for root in roots:
        assert not any(kind.matches(Content("pickle", root, {}, 1)) for kind in ENCODER_FILES.values())
    state = dict(tiny_generator.state_dict())
    assert not any(kind.matches(Content("pickle", state, {}, 1)) for kind in ENCODER_FILES.values())


@pytest.mark.parametrize(
    ("name", "fitting"), [("psp", ("e4e", "psp")), ("restyle_e4e", ("restyle_psp", "restyle_e4e"))]
)
def test_without_options_one_has_to_choose(name: str, fitting: tuple[str, str]) -> None:
    content = file_of(name, opts=None)
    heads = {"e4e": "progressive", "psp": "map2style", "restyle_psp": "last", "restyle_e4e": "progressive"}
    for kind in fitting:
        foreign = psp.read(content, ReadOptions(kind=kind))
        assert (foreign.tool, list(foreign.spec.heads)) == (kind, [heads[kind]])
    for wrong in (None, "w"):
        with pytest.raises(ParamsError, match=f"choose --as {fitting[0]} or --as {fitting[1]}"):
            psp.read(content, ReadOptions(kind=wrong))
    with pytest.raises(ParamsError, match="leave the option out"):
        psp.read(file_of(name), ReadOptions(kind=fitting[0]))
    for own in ("e4e", "psp"):  # of three input channels, so that it is no ReStyle's
        with pytest.raises(ParamsError, match=f"its encoder is of {own}; leave the option out"):
            psp.read(file_of(own), ReadOptions(kind=f"restyle_{own}"))


def test_options_and_prefixes_as_other_files_have_them() -> None:
    state = file_of("psp").root["state_dict"]
    bare = {name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")}
    parallel = {f"module.{name}": value for name, value in state.items()}
    namespace = Instance(f"argparse.{argparse.Namespace.__name__}")
    namespace.state = opts_of("psp")
    wanted = psp.read(file_of("psp"), ReadOptions())
    for root in (
        {"state_dict": parallel, "opts": namespace},
        {"state_dict": bare, "opts": {"encoder_type": "GradualStyleEncoder"}},
    ):
        foreign = psp.read(Content("pickle", root, {}, 1 << 31), ReadOptions())
        assert foreign.spec == wanted.spec
        assert foreign.tensors.keys() == wanted.tensors.keys()
    # ReStyle's loop over pSp's pyramid.
    wide = {**state, "encoder.input_layer.0.weight": torch.zeros(()).expand(64, 6, 3, 3)}
    foreign = psp.read(file_of("psp", state_dict=wide), ReadOptions())
    assert (foreign.tool, foreign.spec.passes, foreign.spec.neck) == ("restyle_psp", 5, "fpn")


def test_the_w_that_offsets_are_added_to() -> None:
    def mean(name: str, **changes: Any) -> tuple[Tensor | None, str]:
        foreign = psp.read(file_of(name, **changes), ReadOptions())
        return foreign.mean, "; ".join(foreign.notes)

    row = torch.arange(512.0)
    for latent_avg in (row, row[None], row.expand(18, 512), row.expand(1, 18, 512)):
        found, notes = mean("psp", latent_avg=latent_avg)
        assert found is not None and torch.equal(found, row) and not notes
    assert mean("psp", latent_avg=None)[0] is None
    assert "assumed" in mean("psp", latent_avg=None)[1]
    off = {"start_from_latent_avg": False}
    found, notes = mean("e4e", latent_avg=row, opts=opts_of("e4e", **off))
    assert found is not None and not found.any() and "start_from_latent_avg" in notes
    # HyperStyle's W encoder and ReStyle's loop add it always.
    for name in ("hyperstyle_w", "restyle_e4e"):
        found, _ = mean(name, latent_avg=row, opts=opts_of(name, **off))
        assert found is not None and torch.equal(found, row)
    with pytest.raises(CheckpointError, match="latent_avg is not a tensor"):
        mean("psp", latent_avg="mine")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"opts": {"encoder_type": "Mine"}}, "an encoder of type 'Mine'; read are Encoder4Editing"),
        ({"opts": {"encoder_type": []}}, "an encoder of type a list"),
        ({"input": 1}, "sketches"),
        ({"input": 19}, "label maps"),
        ({"opts": {"encoder_type": "Encoder4Editing"}, "input": 6}, "ReStyle has 6, others 3"),
        ({"more": "encoder.extra.weight"}, "not part of an encoder of psp: 'extra.weight'"),
        ({"more": "hypernet.a"}, "HyperStyle.*--generator"),
        ({"more": "mapper.a"}, "StyleCLIP.*import-codes"),
    ],
)
def test_files_that_are_not_read(changes: dict[str, Any], says: str) -> None:
    content = file_of("psp", opts=changes.get("opts", opts_of("psp")))
    state = content.root["state_dict"]
    if "input" in changes:
        state["encoder.input_layer.0.weight"] = torch.zeros(()).expand(64, changes["input"], 3, 3)
    if "more" in changes:
        state[changes["more"]] = torch.zeros(1)
    assert psp.matches(content)
    with pytest.raises(CheckpointError, match=says):
        psp.read(content, ReadOptions())


def test_what_an_encoder_was_trained_for_is_told() -> None:
    for changes, note in (
        ({"dataset_type": "cars_encode"}, "192 x 256"),
        ({"dataset_type": "ffhq_frontalize"}, "not for inversion"),
        ({"resize_factors": "1,2,4"}, "super-resolution"),
    ):
        foreign = psp.read(file_of("psp", opts=opts_of("psp", **changes)), ReadOptions())
        assert note in "; ".join(foreign.notes)


# --- onto a generator -------------------------------------------------------------------------------------------------


def test_a_generator_of_another_size_is_refused(tiny_generator: MobileStyleGAN, wide_generator: Generator) -> None:
    content = file_of("e4e")
    foreign = psp.read(content, ReadOptions())
    with pytest.raises(
        CheckpointError, match=r"18 rows of ws \(1024 px of a StyleGAN2\).* has 8 \(64 px\).*--generator"
    ):
        encoder_state(foreign, tiny_generator, content, Path("e4e.pt"))
    content = file_of("fse")
    for name in ("styles.18.weight", "styles.x"):
        more = file_of("fse", **{name: torch.zeros(1)})
        with pytest.raises(CheckpointError, match=r"styles\.N\.weight|not part of a FeatureStyleEncoder: 'styles.x'"):
            ENCODER_FILES["feature_style"].read(more, ReadOptions())
    foreign = ENCODER_FILES["feature_style"].read(content, ReadOptions())
    with pytest.raises(CheckpointError, match=r"content.layers.4.weight has shape \[512, 512, 3, 3\], wanted \[64, "):
        encoder_state(foreign, wide_generator, content, Path("fse.pth"))


# --- BDInvert, at full size -------------------------------------------------------------------------------------------


class BaseCode(nn.Module):
    """Its encoder written down anew: `model` has the names of the release."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out in ((3, 128), (128, 256), (256, 512)):
            for i in range(3):
                layers += [
                    nn.Conv2d(c_out if i else c_in, c_out, 3, padding=1),
                    nn.BatchNorm2d(c_out),
                    nn.LeakyReLU(0.2),
                ]
            layers.append(nn.AvgPool2d(2))
        layers += [nn.Conv2d(512, 512, 3, padding=1), nn.BatchNorm2d(512), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Conv2d(512, channels, 3, padding=1))


@pytest.fixture(scope="module")
def base_code() -> BaseCode:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(2)
        network = BaseCode(16).eval()
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_()  # type: ignore[union-attr]
                layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            if isinstance(layer, nn.Conv2d):
                layer.bias.normal_()  # type: ignore[union-attr]
    return network


@pytest.mark.parametrize("px", [pytest.param(16, marks=pytest.mark.slow), 8])
def test_a_base_code_is_bdinverts(
    px: int, base_code: BaseCode, tiny_generator: MobileStyleGAN, tiny_generator_file: Path, tmp_path: Path
) -> None:
    training = {"encoder": base_code.state_dict(), "optimizer": {0: {"step": 3}}, "scheduler": {}, "epoch": 4}
    source, out = tmp_path / "basecode.pth", tmp_path / "out.safetensors"
    torch.save(training, source, _use_new_zipfile_serialization=px == 16)
    with pytest.raises(InputError, match="--generator"):
        import_weights(source, out)
    (facts,) = import_weights(source, out, generator=tiny_generator_file, feature_px=px).values()
    assert (facts["space"], facts["input"]) == (f"f{px}/wplus", f"{8 * px} px")
    with safe_open(str(out), "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float32, torch.int64}  # noqa: SIM118
        assert "w_avg" not in file.keys()  # noqa: SIM118
    images = normal([0], (3, 8 * px, 8 * px)).clamp(-1, 1)
    encoder = load_encoder(out, tiny_generator)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images)[f"f{px}"], base_code.model(images), rtol=0, atol=1e-5)
    with pytest.raises(InputError, match="--force"):
        import_weights(source, out, generator=tiny_generator_file)


@pytest.mark.slow
def test_damaged_files_are_refused_and_nothing_is_written(
    base_code: BaseCode, tiny_generator_file: Path, tmp_path: Path
) -> None:
    def refuse(state: Any, says: str) -> None:
        torch.save({"encoder": state}, tmp_path / "x.pth")
        with pytest.raises(CheckpointError, match=says):
            import_weights(tmp_path / "x.pth", tmp_path / "out.safetensors", generator=tiny_generator_file)

    state = dict(base_code.state_dict())
    refuse({**state, "model.3.weight": torch.zeros(2)}, r"layers.1.0.weight has shape \[2\]")
    refuse({**state, "model.33.bias": torch.full((16,), torch.nan)}, "wanted finite numbers")
    refuse({**state, "model.4.running_mean": torch.zeros(3)}, "running_mean is missing, or of another shape")
    refuse({**state, "model.4.weight": state["model.4.weight"].int()}, "wanted a tensor of floating-point numbers")
    refuse({name: value for name, value in state.items() if name != "model.33.bias"}, "1 tensors are missing")
    whole = (tmp_path / "x.pth").read_bytes()
    for length in (100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut\.pth"):
            import_weights(tmp_path / "cut.pth", tmp_path / "out.safetensors", generator=tiny_generator_file)
    assert not (tmp_path / "out.safetensors").exists()


def test_hostile_files_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_generator_file: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for path in sorted(HOSTILE.iterdir()):
        with pytest.raises(GanvertError):
            import_weights(path, tmp_path / "out.safetensors", generator=tiny_generator_file)
    assert not list(tmp_path.iterdir())


# --- other architectures of the family --------------------------------------------------------------------------------


def shapes_of_resnet34() -> dict[str, list[int]]:
    """Names and shapes of ReStyle's encoder of everything but faces, without its heads."""
    shapes = {"conv1.weight": [64, 6, 7, 7], "bn1": [64], "relu.weight": [64]}
    number, c_in = 0, 64
    for count, c in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for i in range(count):
            shapes |= {f"body.{number}.conv1.weight": [c, c_in, 3, 3], f"body.{number}.conv2.weight": [c, c, 3, 3]}
            shapes |= {f"body.{number}.bn1": [c], f"body.{number}.bn2": [c]}
            if i == 0 and c != 64:
                shapes |= {f"body.{number}.downsample.0.weight": [c, c_in, 1, 1], f"body.{number}.downsample.1": [c]}
            number, c_in = number + 1, c
    return shapes


def random_state(shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """Weights of unit gain for names and shapes; a name without an ending is that of a BN."""
    state: dict[str, Tensor] = {}
    source = torch.Generator().manual_seed(5)
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=source)
        if name.endswith("weight") and len(shape) > 1:
            state[name] = values / np.sqrt(np.prod(shape[1:]))
        elif name.endswith(("weight", "bias")):
            state[name] = 0.25 + 0.1 * values
        else:
            state |= {f"{name}.weight": 1 + 0.2 * values, f"{name}.bias": 0.1 * values.flip(0)}
            state |= {f"{name}.running_mean": 0.1 * values, f"{name}.running_var": 1 + values.square()}
    return state


def batch_norm(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    mean, variance, weight, bias = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, variance, weight, bias, eps=1e-5)


def resnet34(x: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    """The map of 16 px, written down anew."""
    x = F.prelu(batch_norm(F.conv2d(x, state["conv1.weight"], stride=2, padding=3), state, "bn1"), state["relu.weight"])
    for i in range(16):
        stride, at = 2 if i in (3, 7, 13) else 1, f"body.{i}"
        y = F.conv2d(x, state[f"{at}.conv1.weight"], stride=stride, padding=1)
        y = F.conv2d(batch_norm(y, state, f"{at}.bn1").relu(), state[f"{at}.conv2.weight"], padding=1)
        if f"{at}.downsample.0.weight" in state:
            x = batch_norm(F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride), state, f"{at}.downsample.1")
        x = (batch_norm(y, state, f"{at}.bn2") + x).relu()
    return x


@pytest.mark.slow
def test_restyle_of_other_domains_than_faces(
    tiny_generator: MobileStyleGAN, tiny_generator_file: Path, tmp_path: Path
) -> None:
    shapes = shapes_of_resnet34()
    for row in range(8):
        for i in range(4):
            shapes[f"styles.{row}.convs.{2 * i}.weight"] = [16, 16 if i else 512, 3, 3]
            shapes[f"styles.{row}.convs.{2 * i}.bias"] = [16]
        shapes |= {f"styles.{row}.linear.weight": [16, 16], f"styles.{row}.linear.bias": [16]}
    state = random_state(shapes)
    mean = normal([3], (16,))[0]
    root = {
        # Names that are not the encoder's are left out, as by ReStyle's own loading.
        "state_dict": {f"encoder.{name}": value for name, value in state.items()}
        | {"encoder.fc.weight": torch.ones(2)},
        "opts": {"encoder_type": "ResNetBackboneEncoder", "dataset_type": "church_encode"},
        "latent_avg": mean.expand(8, 16).contiguous(),
    }
    source, out = tmp_path / "church.pt", tmp_path / "out.safetensors"
    torch.save(root, source)
    (facts,) = import_weights(source, out, generator=tiny_generator_file).values()
    assert (facts["tool"], facts["mean w"]) == ("restyle_psp", "its own")
    assert "fc.weight" in facts["notes"]
    encoder = load_encoder(out, tiny_generator)
    image = normal([0], (3, 256, 256)).clamp(-1, 1)
    with torch.no_grad():
        codes = mean.expand(1, 8, 16)
        for prediction in encoder.passes(image):
            drawn = area_resize(tiny_generator.synthesize(ws=codes), 256)
            x = resnet34(torch.cat([image, drawn], dim=1), state)
            rows = []
            for row in range(8):
                y = x
                for i in range(4):
                    name = f"styles.{row}.convs.{2 * i}"
                    y = F.leaky_relu(F.conv2d(y, state[f"{name}.weight"], state[f"{name}.bias"], 2, 1), 0.01)
                rows.append(
                    F.linear(y.flatten(1), state[f"styles.{row}.linear.weight"] / 4, state[f"styles.{row}.linear.bias"])
                )
            codes = codes + torch.stack(rows, dim=1)
            torch.testing.assert_close(prediction["ws"], codes, rtol=1e-4, atol=1e-4)


def test_the_generator_in_a_file_may_have_fewer_rows_than_the_encoder(tiny_generator: MobileStyleGAN) -> None:
    foreign = cut_rows(psp.read(file_of("e4e"), ReadOptions()), 16)
    blocks = {
        int(match[1]) for name in foreign.tensors if (match := re.match(r"heads\.progressive\.blocks\.(\d+)", name))
    }
    assert (foreign.rows, blocks) == (16, set(range(16)))
    assert int(foreign.tensors["heads.progressive.enabled"]) == 15
