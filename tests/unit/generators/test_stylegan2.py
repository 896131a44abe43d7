"""StyleGAN2 of every architecture against a plain implementation; what all generators share is tried in contract/."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError, UnsupportedError
from ganvert.checkpoints.stylegan2 import mean_w
from ganvert.compute.random import normal
from ganvert.generators import Generator, SynthesisInput, build_generator, load_generator
from ganvert.generators.base import labels_for
from ganvert.generators.stylegan2 import StyleGAN2
from ganvert.networks.modulation import blur_kernel, modulated_up_conv, upsample

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "checkpoints"
ARCHITECTURES = ("skip", "resnet", "orig")


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    """The benchmark, for its network that is written down the plainest way."""
    spec = importlib.util.spec_from_file_location("benchmark_synthesis", ROOT / "benchmarks" / "synthesis.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=ARCHITECTURES)
def state(request: pytest.FixtureRequest, plain: ModuleType) -> dict[str, Tensor]:
    return plain.random_state(32, 128, 12, w_dim=16, architecture=request.param)


@pytest.fixture(scope="module")
def generator(state: dict[str, Tensor]) -> StyleGAN2:
    return build(state)


@pytest.fixture(scope="module")
def ws(generator: StyleGAN2) -> Tensor:
    """Rows that differ, so that a mixed-up row shows."""
    return normal(range(3), (generator.num_ws, generator.w_dim))


def build(state: dict[str, Tensor], **config: Any) -> StyleGAN2:
    generator = build_generator("stylegan2", state, config)
    assert isinstance(generator, StyleGAN2)
    return generator


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


def test_pictures_are_those_of_the_plain_network(
    generator: StyleGAN2, state: dict[str, Tensor], ws: Tensor, plain: ModuleType
) -> None:
    close(generator.synthesize(ws=ws), plain.plain_synthesis(state, ws))
    silent = {name: value * 0 if name.endswith("noise_strength") else value for name, value in state.items()}
    close(generator.synthesize(ws=ws, noise="none"), plain.plain_synthesis(silent, ws))
    assert (generator.resolution, generator.num_ws, generator.z_dim, generator.w_dim) == (32, 8, 16, 16)


def test_clamp(state: dict[str, Tensor], ws: Tensor, plain: ModuleType) -> None:
    clamped = build(state, conv_clamp=1.25)
    image = clamped.synthesize(ws=ws)
    close(image, plain.plain_synthesis(state, ws, clamp=1.25))
    assert not torch.allclose(image, plain.plain_synthesis(state, ws))


def test_scaled_demodulation(state: dict[str, Tensor], ws: Tensor, plain: ModuleType) -> None:
    """It differs where weights are so small that epsilon counts."""
    small = {name: value * 1e-3 if name.endswith("conv1.weight") else value for name, value in state.items()}
    images = [build(small, scaled_demodulation=scaled).synthesize(ws=ws) for scaled in (False, True)]
    for image, scaled in zip(images, (False, True), strict=True):
        close(image, plain.plain_synthesis(small, ws, scaled=scaled))
    assert not torch.allclose(*images)


def test_any_number_of_colours(plain: ModuleType, ws: Tensor) -> None:
    for colours in (1, 4):
        state = plain.random_state(32, 128, 12, w_dim=16, colours=colours)
        generator = build(state)
        assert generator.image_channels == colours
        image = generator.synthesize(ws=ws)
        assert image.shape[1] == colours
        close(image, plain.plain_synthesis(state, ws))


def test_the_up_convolution_is_a_filtered_picture_of_zeros(plain: ModuleType) -> None:
    """Zeros between the pixels, the filter, then the kernel turned over: padded once, ahead of all."""
    x, weight, style = normal([0], (5, 6, 6)), normal([1], (4, 5, 3, 3))[0], normal([2], (5,))
    spread = plain.upfirdn(x * style[:, :, None, None], 2, (3, 2, 3, 2), 4)
    wanted = torch.nn.functional.conv2d(spread, weight.flip(2, 3))
    torch.testing.assert_close(modulated_up_conv(x, weight, style, blur_kernel()), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(upsample(x, blur_kernel()), plain.upfirdn(x, 2, (2, 1, 2, 1), 4))


def test_slots_come_in_order_of_execution(generator: StyleGAN2) -> None:
    slots = {slot.name: slot.row for slot in generator.style_layout if not slot.name.endswith("torgb")}
    convs = {
        "b4.conv1": 0,
        "b8.conv0": 1,
        "b8.conv1": 2,
        "b16.conv0": 3,
        "b16.conv1": 4,
        "b32.conv0": 5,
        "b32.conv1": 6,
    }
    assert slots == convs
    assert generator.style_layout[-1].name == "b32.torgb"


def test_an_injected_feature_starts_the_picture_anew(
    generator: StyleGAN2, state: dict[str, Tensor], ws: Tensor
) -> None:
    image = generator.synthesize(ws=ws)
    points = {point.name: point for point in generator.feature_points}
    residual = any(".skip." in name for name in state)
    assert ("b8.conv0" in points) != residual
    seen = generator.features(SynthesisInput(ws=ws), list(points))
    for name, feature in seen.items():
        drawn = generator.synthesize(SynthesisInput(ws=ws, features={name: feature}))
        # Only the skip architecture sums pictures of coarser sizes, which the feature does not hold.
        summed = "synthesis.b4.torgb.weight" in state and name not in ("const", "b4.conv1")
        assert torch.equal(drawn, image) != summed
        if not summed:
            continue
        size = points[name].shape[1]
        rest = {k: v for k, v in seen.items() if points[k].shape[1] < size and k.endswith("conv1")}
        blocks = {int(k.split(".")[0][1:]): v for k, v in rest.items()}
        styles = generator.styles(ws)
        coarser: Tensor | None = None
        for at, value in sorted(blocks.items()):
            own = generator.synthesis[f"b{at}"].torgb(value, styles[f"b{at}.torgb"])  # type: ignore[operator, union-attr]
            coarser = own if coarser is None else upsample(coarser, generator.blur) + own
        assert coarser is not None
        while coarser.shape[2] < generator.resolution:
            coarser = upsample(coarser, generator.blur)
        close(drawn + coarser, image)


def test_padding_is_not_modulated(generator: StyleGAN2, ws: Tensor) -> None:
    assert [conv.name for conv in generator.paddable] == ["b4.conv1", "b8.conv1", "b16.conv1", "b32.conv1"]
    # With styles of zero nothing of the input is left: what is seen is the padding as it was given.
    styles = generator.styles(ws)
    styles["b4.conv1"] = torch.zeros_like(styles["b4.conv1"])
    conv = generator._blocks[0].conv1
    out = conv(generator._blocks[0].const[None], styles["b4.conv1"][:1], None, blur=generator.blur)  # type: ignore[index]
    assert torch.equal(out, torch.nn.functional.leaky_relu(conv.bias * math.sqrt(2), 0.2)[:, None, None].expand_as(out))
    wide = torch.ones(1, conv.weight.shape[1], 6, 6)
    padded = conv(
        generator._blocks[0].const[None],  # type: ignore[index]
        styles["b4.conv1"][:1],
        None,
        blur=generator.blur,
        padding=wide,
    )
    assert not torch.equal(padded[..., 0, 0], out[..., 0, 0])
    assert torch.equal(padded[..., 1:3, 1:3], out[..., 1:3, 1:3])


def test_layers_without_noise_take_none(state: dict[str, Tensor], ws: Tensor, plain: ModuleType) -> None:
    quiet = {name: value for name, value in state.items() if not name.startswith("synthesis.b8.conv0.noise")}
    generator = build(quiet)
    assert generator.noise_shapes == ((4, 4), (8, 8), (16, 16), (16, 16), (32, 32), (32, 32))
    close(generator.synthesize(ws=ws), plain.plain_synthesis(quiet, ws))
    stored = [value[None, None] for name, value in quiet.items() if name.endswith("noise_const")]
    close(generator.synthesize(ws=ws, noise=stored), plain.plain_synthesis(quiet, ws))
    # A strength without a stored map: nothing is added unless maps are given.
    mute = {name: value for name, value in state.items() if not name.endswith("noise_const")}
    generator = build(mute)
    assert torch.equal(generator.synthesize(ws=ws), generator.synthesize(ws=ws, noise="none"))
    maps = [value[None, None] for name, value in state.items() if name.endswith("noise_const")]
    close(generator.synthesize(ws=ws, noise=maps), plain.plain_synthesis(state, ws))
    silent = build({name: value for name, value in state.items() if ".noise_" not in name})
    with pytest.raises(UnsupportedError, match="no noise"):
        silent.synthesize(ws=ws, noise=maps)


def test_gradients_are_right_for_codes_and_for_weights(state: dict[str, Tensor], ws: Tensor) -> None:
    exact = build(state, conv_clamp=2.5).double().requires_grad_(True)
    at = ws[:2].double().requires_grad_()
    probe = normal([9], (3, 32, 32)).double()
    inputs = {"ws": at, **{k: v for k, v in exact.named_parameters() if k.startswith("synthesis.")}}
    gradients = torch.autograd.grad((exact.synthesize(ws=at) * probe).sum(), list(inputs.values()))
    for (name, value), gradient in zip(inputs.items(), gradients, strict=True):
        along, eps = torch.randn(value.shape, generator=torch.Generator().manual_seed(1)).double(), 1e-6
        sums = []
        with torch.no_grad():
            for step in (eps, -2 * eps, eps):
                value += step * along
                sums.append(float((exact.synthesize(ws=at) * probe).sum()))
        measured = (sums[0] - sums[1]) / (2 * eps)
        assert float((gradient * along).sum()) == pytest.approx(measured, rel=1e-4, abs=1e-5), name


def test_the_mapping_network_takes_labels_both_ways(state: dict[str, Tensor]) -> None:
    labels = torch.eye(3)[[0, 2]]
    z = normal(range(2), (16,))
    embed = {"mapping.embed.weight": normal([1], (16, 3))[0], "mapping.embed.bias": normal([2], (16,))[0]}
    for extra in (embed, {"mapping.label_weight": normal([3], (3, 16))[0]}):
        wide = {**state, **extra, "mapping.fc0.weight": 100 * normal([4], (16, 32))[0]}
        generator = build(wide)
        assert (generator.label_dim, generator.z_dim) == (3, 16)
        assert not torch.allclose(generator.map(z, labels), generator.map(z, labels.flip(0)))


def test_labels_take_the_memory_of_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of classes is a file's: its square may be any amount of memory."""
    z = normal(range(2), (16,)).double()
    wanted = torch.eye(5, dtype=torch.float64)[[3, 3]]
    monkeypatch.setattr(torch, "eye", None)
    assert torch.equal(labels_for(z, None, 5, 3, "stylegan2"), wanted)
    assert labels_for(z, None, 1 << 20, 3, "stylegan2").untyped_storage().nbytes() == 8 << 20


def test_a_mean_w_of_countless_classes_is_refused(state: dict[str, Tensor]) -> None:
    labels = {"mapping.label_weight": torch.zeros(16385, 16), "mapping.fc0.weight": torch.zeros(16, 32)}
    with pytest.raises(CheckpointError, match="no mean w, and 16385 classes"):
        mean_w({**state, **labels})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"synthesis.b8.conv0.weight": None}, "synthesis.b8.conv0|KeyError"),
        ({"synthesis.b8.conv0.affine.weight": torch.zeros(12, 17)}, "affine.weight has shape"),
        ({"synthesis.b8.conv1.weight": torch.zeros(12, 12, 5, 5)}, "b8.conv1.weight has shape"),
        ({"synthesis.b8.conv1.weight": torch.zeros(12, 11, 3, 3)}, "after 12 channels"),
        ({"synthesis.b8.conv1.bias": torch.zeros(11)}, "bias has shape"),
        ({"synthesis.b4.const": torch.zeros(12, 8, 8)}, "const has shape"),
        ({"synthesis.b8.conv1.noise_const": torch.zeros(4, 4)}, "noise_const has shape"),
        ({"synthesis.b8.conv1.noise_strength": None}, "noise_const is not part of it"),
        ({"synthesis.b64.conv1.bias": torch.zeros(4)}, "KeyError|toRGB"),
        ({"synthesis.b12.conv1.bias": torch.zeros(4)}, "its blocks are of"),
        ({"synthesis.bx.conv1.bias": torch.zeros(4)}, "not a StyleGAN2"),
        ({"synthesis.b32.torgb.weight": None}, "toRGB"),
        ({"synthesis.extra": torch.zeros(4)}, "not a StyleGAN2"),
        ({"other": torch.zeros(4)}, "other is not part of it"),
        ({"w_avg": torch.zeros(17)}, "w_avg has shape"),
        ({"mapping.fc0.weight": None}, "mapping network"),
        ({"mapping.fc1.weight": torch.zeros(17, 16)}, "mapped to 17"),
        ({"synthesis.b4.conv1.affine.weight": torch.zeros(12)}, "not a StyleGAN2"),
        # Few numbers that would make a large network if sizes were believed one by one.
        ({"synthesis.b4.conv1.affine.weight": torch.zeros(1, 10**7)}, "mapped to 16"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    state: dict[str, Tensor], change: dict[str, Tensor | None], message: str
) -> None:
    wrong = {name: value for name, value in {**state, **change}.items() if value is not None}
    with pytest.raises(CheckpointError, match=message):
        build_generator("stylegan2", wrong, {})


def test_pictures_beyond_4096_px_are_refused() -> None:
    many = {f"synthesis.b{4 * 2**i}.conv1.bias": torch.zeros(1) for i in range(12)}
    with pytest.raises(CheckpointError, match="to 4096"):
        StyleGAN2.for_state(many, {})


@pytest.mark.parametrize(
    "config", [{"conv_clamp": -1}, {"conv_clamp": "1"}, {"lr_multiplier": None}, {"scaled_demodulation": 1}, {"a": 1}]
)
def test_configurations_of_others_are_refused(state: dict[str, Tensor], config: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        StyleGAN2.for_state(state, config)


# --- features that other people's code computed ----------------------------------------------------------------------

FEATURED = {
    "A2_ada_skip_w64_map8.pkl": "nvlabs",
    "A3_ada_skip_cond_c5.pkl": "nvlabs",
    "A4_ada_resnet.pkl": "nvlabs",
    "B1_rosinality_w64_map8.pt": "rosinality",
    "B3_rosinality_train_layout.pt": "rosinality",
    "C2_genforce_stylegan2_64.pth": "genforce",
}


def point_of(name: str, code: str) -> str | None:
    """Our feature point of a recorded activation; None for pictures, and for what is inside a residual block."""
    if code == "nvlabs":
        at, _, part = name.partition(".")
        return {"x": f"{at}.conv1", "conv0": name}.get(part)
    if "rgb" in name or name.startswith("output"):
        return None
    if name == "early_layer":
        return "const"
    index = int(name.removeprefix("layer")) if code == "genforce" else 0
    if code == "rosinality" and name != "conv1":
        index = int(name.removeprefix("convs.")) + 1
    return f"b{2 ** (2 + (index + 1) // 2)}.conv{1 - index % 2}"


@pytest.mark.parametrize(("file", "code"), FEATURED.items())
def test_features_of_other_codes(file: str, code: str) -> None:
    generator: Generator = load_generator(GOLDEN / file)
    recorded = np.load((GOLDEN / file).with_suffix(".npz"))
    ours = [point.name for point in generator.feature_points]
    seen = generator.features(SynthesisInput(ws=torch.from_numpy(recorded["ws_mix"])[:1]), ours)
    compared = 0
    for name in recorded.files:
        point = point_of(name.removeprefix("feat/"), code) if name.startswith("feat/") else None
        if point in seen:
            np.testing.assert_allclose(seen[point].numpy(), recorded[name], rtol=0, atol=1e-5, err_msg=name)
            compared += 1
    assert compared >= 5
