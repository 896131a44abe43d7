"""StyleGAN1's own parts against closed forms, and what it refuses; what all generators share is tried in contract/."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.compute.random import normal
from ganvert.generators.base import SynthesisInput
from ganvert.generators.stylegan1 import StyleGAN1, blur, stylise, upsample_conv

LAYERS, Z, W, CHANNELS = 8, 6, 5, (7, 6, 6, 5, 5, 4, 4, 3)  # 32 px


def make_state(*, rows: bool = False, labels: int = 0, image_channels: int = 3) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(2)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source)

    widths = [Z + labels * 2, 9, W * (LAYERS if rows else 1)]
    state = {"w_avg": random(W)}
    for i in range(2):
        state |= {f"mapping.fc{i}.weight": 100 * random(widths[i + 1], widths[i])}
        state |= {f"mapping.fc{i}.bias": 10 * random(widths[i + 1])}
    if labels:
        state["mapping.label_weight"] = random(labels, labels * 2)
    for i, channels in enumerate(CHANNELS):
        name, size = f"synthesis.layer{i}", 4 * 2 ** (i // 2)
        state |= {
            f"{name}.bias": random(channels),
            f"{name}.noise_weight": random(channels),
            f"{name}.noise_const": random(size, size),
            f"{name}.style.weight": random(2 * channels, W),
            f"{name}.style.bias": random(2 * channels),
        }
        part = {f"{name}.weight": random(channels, CHANNELS[i - 1], 3, 3)} if i else {f"{name}.const": random(7, 4, 4)}
        state |= part
    state |= {"synthesis.output.weight": random(image_channels, CHANNELS[-1], 1, 1)}
    return {**state, "synthesis.output.bias": random(image_channels)}


def build(state: dict[str, Tensor], **config: Any) -> StyleGAN1:
    generator = StyleGAN1.for_state(state, config)
    generator.load_state_dict(state)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def generator() -> StyleGAN1:
    return build(make_state()).double()


@pytest.fixture(scope="module")
def ws() -> Tensor:
    return normal(range(3), (LAYERS, W)).double()


def test_doubling_is_nearest_then_a_convolution() -> None:
    x, kernel = normal(range(2), (5, 4, 7)).double(), normal(range(3), (5, 3, 3)).double()
    doubled = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(upsample_conv(x, kernel), F.conv2d(doubled, kernel, padding=1))


def test_blur_of_a_point_and_at_the_border() -> None:
    x = torch.zeros(1, 2, 4, 4)
    x[0, 0, 2, 1] = x[0, 1, 0, 0] = 16
    inside = [[0, 0, 0, 0], [1, 2, 1, 0], [2, 4, 2, 0], [1, 2, 1, 0]]
    corner = [[4, 2, 0, 0], [2, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert blur(x).tolist() == [[inside, corner]]


def test_style_normalises_then_scales_and_shifts() -> None:
    x = torch.tensor([1.0, 3.0, 1.0, 3.0]).view(1, 1, 2, 2)  # mean 2, deviation 1
    y = stylise(x, torch.tensor([[0.5, 10.0]]))
    torch.testing.assert_close(y.flatten(), torch.tensor([8.5, 11.5, 8.5, 11.5]))


def test_layout(generator: StyleGAN1) -> None:
    assert (generator.resolution, generator.num_ws, generator.z_dim, generator.w_dim) == (32, LAYERS, Z, W)
    slots, points, convs = generator.style_layout, generator.feature_points, generator.paddable
    assert [(s.name, s.width, s.row) for s in slots] == [(f"layer{i}", 2 * c, i) for i, c in enumerate(CHANNELS)]
    assert [s.resolution for s in slots] == [4, 4, 8, 8, 16, 16, 32, 32]
    assert [(p.name, p.first_row) for p in points] == [("const", 0), *((f"layer{i}", i) for i in range(LAYERS))]
    assert [(c.name, c.channels, c.resolution) for c in convs] == [
        ("layer1", 7, 4),
        ("layer3", 6, 8),
        ("layer5", 5, 16),
        ("layer7", 4, 32),
    ]
    assert generator.noise_shapes == ((4, 4),) * 2 + ((8, 8),) * 2 + ((16, 16),) * 2 + ((32, 32),) * 2


def test_an_injected_layer_is_styled_but_gets_no_noise(generator: StyleGAN1, ws: Tensor) -> None:
    image = generator.synthesize(ws=ws)
    seen = generator.features(SynthesisInput(ws=ws), ["const", "layer3", "layer7"])
    for name, feature in seen.items():
        assert torch.equal(generator.synthesize(SynthesisInput(ws=ws, features={name: feature})), image)
    x = stylise(seen["layer7"], generator.styles(ws)["layer7"])
    weight, bias = make_state()["synthesis.output.weight"].double(), make_state()["synthesis.output.bias"].double()
    torch.testing.assert_close(F.conv2d(x, weight / math.sqrt(3), bias), image)
    maps = [torch.zeros(1, 1, *shape).double() for shape in generator.noise_shapes]
    stored = [make_state()[f"synthesis.layer{i}.noise_const"][None, None].double() for i in range(LAYERS)]
    injected = SynthesisInput(ws=ws, features={"layer3": seen["layer3"]}, noise=[*maps[:4], *stored[4:]])
    assert torch.equal(generator.synthesize(injected), image)


def test_finest_of_several_injected_features_counts(generator: StyleGAN1, ws: Tensor) -> None:
    seen = generator.features(SynthesisInput(ws=ws.flip(0)), ["layer2", "layer5"])
    both, one = (SynthesisInput(ws=ws, features=given) for given in (seen, {"layer5": seen["layer5"]}))
    assert torch.equal(generator.synthesize(both), generator.synthesize(one))


def test_noise_is_multiplied_by_a_strength_of_each_channel(generator: StyleGAN1, ws: Tensor) -> None:
    state = make_state()
    stored = [state[f"synthesis.layer{i}.noise_const"][None, None].double() for i in range(LAYERS)]
    image = generator.synthesize(ws=ws)
    torch.testing.assert_close(generator.synthesize(ws=ws, noise=stored), image)
    inputs = (SynthesisInput(ws=ws, noise=kind) for kind in ("none", "const"))
    features = [generator.features(value, ["layer0"])["layer0"] for value in inputs]
    before, after = (F.leaky_relu(feature, 5) for feature in features)  # undoes the activation
    strength = state["synthesis.layer0.noise_weight"].double().view(1, -1, 1, 1)
    torch.testing.assert_close(after - before, (strength * stored[0]).expand_as(after))


def test_layers_without_noise_add_none(ws: Tensor) -> None:
    state = make_state()
    for name in ("synthesis.layer2.noise_weight", "synthesis.layer4.noise_const"):
        del state[name]
    generator = build(state).double()
    maps = [torch.ones(1, 1, *shape).double() for shape in generator.noise_shapes]

    def change(index: int) -> float:
        given = [one if i == index else torch.zeros_like(one) for i, one in enumerate(maps)]
        return float((generator.synthesize(ws=ws, noise=given) - generator.synthesize(ws=ws, noise="none")).abs().max())

    assert change(2) == 0
    assert change(4) > 1e-3
    stored = [state.get(f"synthesis.layer{i}.noise_const") for i in range(LAYERS)]
    given = [one * 0 if kept is None else kept[None, None].double() for one, kept in zip(maps, stored, strict=True)]
    torch.testing.assert_close(generator.synthesize(ws=ws, noise=given), generator.synthesize(ws=ws))


def test_padding_is_not_styled(generator: StyleGAN1, ws: Tensor) -> None:
    seen = generator.features(SynthesisInput(ws=ws, noise="none"), ["layer0", "layer1"])
    x = stylise(seen["layer0"], generator.styles(ws)["layer0"])
    padding = normal([1], (7, 6, 6)).double()
    padded = SynthesisInput(ws=ws, noise="none", padding={"layer1": padding})
    wide = padding.repeat(3, 1, 1, 1)
    wide[:, :, 1:-1, 1:-1] = x
    state = make_state()
    kernel, bias = (state[f"synthesis.layer1.{part}"].double() for part in ("weight", "bias"))
    wanted = F.leaky_relu(F.conv2d(wide, kernel * math.sqrt(2 / 63), bias), 0.2)
    torch.testing.assert_close(generator.features(padded, ["layer1"])["layer1"], wanted)


def test_final_tanh(ws: Tensor) -> None:
    plain, bounded = build(make_state()), build(make_state(), final_tanh=True)
    codes = ws.float()
    assert torch.equal(bounded.synthesize(ws=codes), plain.synthesize(ws=codes).tanh())


def test_other_numbers_of_image_channels(ws: Tensor) -> None:
    assert build(make_state(image_channels=1)).synthesize(ws=ws.float()).shape == (3, 1, 32, 32)


def test_a_w_for_every_layer() -> None:
    generator = build(make_state(rows=True))
    assert generator.rows_differ
    z = normal(range(2), (Z,))
    full, cut = generator.map(z), generator.map(z, psi=0.5, cutoff=3)
    assert full.shape == (2, LAYERS, W)
    assert not torch.allclose(full[:, 0], full[:, 1])
    torch.testing.assert_close(cut[:, :3], (full[:, :3] + generator.w_avg) / 2)
    assert torch.equal(cut[:, 3:], full[:, 3:])


def test_a_mean_for_every_layer() -> None:
    means = normal(range(LAYERS), (W,))
    generator = build({**make_state(), "w_avg_rows": means})
    z = normal(range(2), (Z,))
    full, cut = generator.map(z), generator.map(z, psi=0.5, cutoff=3)
    torch.testing.assert_close(cut[:, :3], (full[:, :3] + means[:3]) / 2)
    assert torch.equal(cut[:, 3:], full[:, 3:])
    torch.testing.assert_close(generator.map(z, psi=0.0), means.expand(2, -1, -1))


def test_labels_are_normalised_together_with_z() -> None:
    state = make_state(labels=2)
    generator = build(state)
    assert (generator.label_dim, generator.z_dim) == (2, Z)
    z, labels = normal(range(2), (Z,)), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    joint = torch.cat([z, state["mapping.label_weight"].flip(0)], dim=1)
    alone = build({name: value for name, value in state.items() if "label" not in name})
    torch.testing.assert_close(generator.map(z, labels), alone.map(joint))


def test_gradients_reach_every_input_and_are_right(generator: StyleGAN1, ws: Tensor) -> None:
    exact = copy.deepcopy(generator)
    probe = normal([9], (3, 32, 32)).double()
    styles = exact.styles(ws[:1])
    noise = [normal([i], (1, *shape)).double() for i, shape in enumerate(exact.noise_shapes)]
    feature = exact.features(SynthesisInput(ws=ws[:1]), ["layer4"])["layer4"]
    padding = normal([3], (6, 10, 10)).double()

    def check(draw: Any, at: Tensor) -> None:
        at = at.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((draw(at) * probe).sum(), at)
        along, eps = normal([5], at.shape).squeeze(0).double(), 1e-6
        with torch.no_grad():
            ahead, behind = ((draw(at + sign * eps * along) * probe).sum() for sign in (1, -1))
        assert float((gradient * along).sum()) == pytest.approx(float((ahead - behind) / (2 * eps)), rel=1e-4)

    one = ws[:1]
    check(lambda z: exact.synthesize(ws=exact.map(z)), normal([0], (Z,)).double())
    check(lambda rows: exact.synthesize(ws=rows), one)
    check(lambda s: exact.synthesize(styles={**styles, "layer2": s}), styles["layer2"])
    check(lambda n: exact.synthesize(ws=one, noise=[*noise[:3], n, *noise[4:]]), noise[3])
    check(lambda f: exact.synthesize(SynthesisInput(ws=one, features={"layer4": f})), feature)
    check(lambda p: exact.synthesize(SynthesisInput(ws=one, padding={"layer3": p})), padding)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"synthesis.layer0.const": None}, "layer0.const"),
        ({"synthesis.layer0.style.weight": None}, "layer0.style.weight"),
        ({"synthesis.layer3.weight": torch.zeros(5, 6, 1, 1)}, r"layer3.weight has shape .* wanted \[5, 6, 3, 3\]"),
        ({"synthesis.layer3.bias": torch.zeros(6)}, "wanted"),
        ({"synthesis.layer3.bias": torch.zeros(())}, "not a StyleGAN1"),
        ({"synthesis.layer9.bias": torch.zeros(3)}, "not 9 layers"),
        ({f"synthesis.layer{i}.bias": torch.zeros(3) for i in range(8, 40)}, "not 40 layers"),
        ({"synthesis.output.bias": None}, "output.bias"),
        ({"synthesis.output.extra": torch.zeros(3)}, "output.extra"),
        ({"w_avg": torch.zeros(W + 1)}, "w_avg"),
        ({"w_avg": None}, "w_avg"),
        ({"w_avg_rows": torch.zeros(3, W)}, "w_avg_rows"),
        ({"mapping.fc0.weight": None}, "mapping"),
        ({"mapping.fc1.weight": torch.zeros(7, 9), "mapping.fc1.bias": torch.zeros(7)}, "neither in one w nor"),
        ({"mapping.fc0.weight": torch.zeros(0, Z), "mapping.fc0.bias": torch.zeros(0)}, r"fc0.weight .* empty"),
        # Sizes that would take terabytes if they were believed.
        (
            {"synthesis.layer3.bias": torch.zeros(10_000_000), "synthesis.layer4.bias": torch.zeros(10_000_000)},
            "wanted",
        ),
        (
            {"mapping.fc0.weight": torch.zeros(9_000_000, 1), "mapping.fc1.weight": torch.zeros(9_000_000, 1)},
            "do not follow",
        ),
    ],
)
def test_states_that_do_not_fit(changed: dict[str, Tensor | None], match: str) -> None:
    state = {name: value for name, value in {**make_state(), **changed}.items() if value is not None}
    with pytest.raises(CheckpointError, match=match):
        StyleGAN1.for_state(state, {})


@pytest.mark.parametrize(
    "config",
    [{"final_tanh": 1}, {"lr_multiplier": 0}, {"lr_multiplier": math.nan}, {"lr_multiplier": "1"}, {"psi": 0.7}],
)
def test_configurations_that_do_not_fit(config: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="configuration"):
        StyleGAN1.for_state(make_state(), config)
