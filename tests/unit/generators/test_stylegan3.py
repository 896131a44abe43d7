"""StyleGAN3 against a plain second implementation with filters designed here; what all share is tried in contract/."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scipy.signal
import scipy.special
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvert.base.errors import CheckpointError, ShapeError, UnsupportedError
from ganvert.checkpoints.containers import read_content
from ganvert.checkpoints.nvlabs_stylegan3 import read
from ganvert.compute.random import normal
from ganvert.generators.base import SynthesisInput
from ganvert.generators.stylegan3 import StyleGAN3, downsample, upsample

State = dict[str, Tensor]
W_DIM = 8
GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"


@dataclasses.dataclass(frozen=True)
class Rates:
    """One layer boundary: cutoff, half width of the transition, samples per picture, edge of the map."""

    cutoff: float
    half_width: float
    rate: int
    size: int


def boundaries(resolution: int, layers: int = 14, critical: int = 2, margin: int = 10) -> list[Rates]:
    """Section 3.1 of the paper: cutoffs and stopbands in geometric progression."""
    result = []
    for i in range(layers + 1):
        along = min(i / (layers - critical), 1)
        cutoff = 2 * (resolution / 2 / 2) ** along
        stop = 2**2.1 * (resolution / 2 * 2**0.3 / 2**2.1) ** along
        rate = 2 ** math.ceil(math.log2(min(2 * stop, resolution)))
        size = resolution if i >= layers - 1 else rate + 2 * margin
        result.append(Rates(cutoff, max(stop, rate / 2) - cutoff, rate, size))
    return result


def low_pass(taps: int, at: Rates, rate: float, radial: bool = False) -> Tensor | None:
    if taps == 1:
        return None
    if not radial:
        return torch.from_numpy(scipy.signal.firwin(taps, cutoff=at.cutoff, width=2 * at.half_width, fs=rate))
    axis = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    radius = torch.hypot(axis[:, None], axis[None])
    jinc = torch.from_numpy(scipy.special.j1(2 * at.cutoff * math.pi * radius.numpy())) / (math.pi * radius)
    attenuation = scipy.signal.kaiser_atten(taps, 2 * at.half_width / (rate / 2))
    window = torch.from_numpy(scipy.signal.windows.kaiser(taps, scipy.signal.kaiser_beta(attenuation)))
    kernel = jinc * torch.outer(window, window)
    return kernel / kernel.sum()


def design(resolution: int, kind: str) -> list[tuple[dict[str, Any], Tensor | None, Tensor | None]]:
    """Facts, upsampling and downsampling filter of every layer of configuration T or R."""
    rates, result = boundaries(resolution), []
    for i, after in enumerate(rates):
        before, rgb = rates[max(i - 1, 0)], i == len(rates) - 1
        kernel = 1 if rgb or kind == "R" else 3
        between = max(before.rate, after.rate) * (1 if rgb else 2)
        up, down = between // before.rate, between // after.rate
        up_taps, down_taps = (6 * factor if factor > 1 else 1 for factor in (up, down))
        total = (after.size - 1) * down + 1 - (before.size + kernel - 1) * up + up_taps + down_taps - 2
        low = (total + up) // 2
        facts = {
            "up_factor": up,
            "down_factor": down,
            "padding": [low, total - low] * 2,
            "kernel": kernel,
            "is_torgb": rgb,
            "conv_clamp": 256.0,
        }
        critical = after.cutoff * 2 >= after.rate
        radial = kind == "R" and not critical
        result.append((facts, low_pass(up_taps, before, between), low_pass(down_taps, after, between, radial)))
    return result


def built(state: State, config: dict[str, Any]) -> StyleGAN3:
    generator = StyleGAN3.for_state(state, config).to(next(iter(state.values())).dtype)
    generator.load_state_dict(state)
    return generator.eval().requires_grad_(False)


@functools.cache
def drawn(resolution: int, kind: str, labels: int = 0) -> tuple[State, dict[str, Any]]:
    """A state dict in float64 with seeded weights, and its configuration."""
    source = torch.Generator().manual_seed(resolution + labels)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    def sharp(weight: Tensor) -> Tensor:
        """Without its mean: constants would pile up layer by layer until nothing else shows in the picture."""
        return weight - weight.mean(dim=(1, 2, 3), keepdim=True)

    rates, layers = boundaries(resolution), design(resolution, kind)
    widths = [6, *(6 if i % 2 else 5 for i in range(len(layers) - 1)), 3]
    state = {
        "mapping.fc0.weight": randn(W_DIM, 4 + (W_DIM if labels else 0)) * 100,
        "mapping.fc0.bias": randn(W_DIM) * 10,
        "mapping.fc1.weight": randn(W_DIM, W_DIM) * 100,
        "mapping.fc1.bias": randn(W_DIM) * 10,
        "w_avg": randn(W_DIM) * 0.1,
        "synthesis.input.weight": randn(6, 6),
        "synthesis.input.affine.weight": randn(4, W_DIM) * 0.3,
        "synthesis.input.affine.bias": torch.tensor([1, 0, 0, 0], dtype=torch.float64),
        "synthesis.input.transform": torch.eye(3, dtype=torch.float64),
        "synthesis.input.freqs": randn(6, 2) * 1.5,  # some of them where features fade
        "synthesis.input.phases": randn(6),
    }
    if labels:
        state |= {"mapping.embed.weight": randn(W_DIM, labels), "mapping.embed.bias": randn(W_DIM)}
    for i, (facts, up, down) in enumerate(layers):
        name, k = f"synthesis.layers.{i}", facts["kernel"]
        state |= {
            f"{name}.weight": sharp(randn(widths[i + 1], widths[i], k, k)),
            f"{name}.bias": randn(widths[i + 1]) * 0.1,
            f"{name}.affine.weight": randn(widths[i], W_DIM) * 0.3,
            f"{name}.affine.bias": torch.ones(widths[i], dtype=torch.float64),
            f"{name}.magnitude_ema": torch.ones((), dtype=torch.float64),
        }
        state |= {f"{name}.{which}": f for which, f in (("up_filter", up), ("down_filter", down)) if f is not None}
    config = {
        "input": {"size": rates[0].size, "sampling_rate": float(rates[0].rate), "bandwidth": rates[0].cutoff},
        "layers": [facts for facts, _, _ in layers],
        "output_scale": 0.25,
    }
    generator, ws = built(state, config), randn(2, len(layers) + 1, W_DIM)
    features: dict[str, Tensor] = {}
    for i, point in enumerate(generator.feature_points):  # keeps contrasts at unit size, as training does
        # From the activation before it, so that each step runs one layer.
        features = generator.features(SynthesisInput(ws=ws, features=features), [point.name])
        state[f"synthesis.layers.{i}.magnitude_ema"] = features[point.name].var(dim=(2, 3)).mean()
        generator.load_state_dict(state)
    return state, config


def filtered(x: Tensor, taps: Tensor | None) -> Tensor:
    """The convolution of [N, C, h, w] without padding, every channel as a picture of its own."""
    if taps is None:
        return x
    maps = x.flatten(0, 1).unsqueeze(1)
    for kernel in [taps] if taps.ndim == 2 else [taps[:, None], taps[None]]:
        maps = F.conv2d(maps, kernel.flip(0, 1)[None, None])
    return maps.squeeze(1).unflatten(0, x.shape[:2])


def spread(x: Tensor, taps: Tensor | None, factor: int, padding: list[int] | tuple[int, ...]) -> Tensor:
    n, c, h, w = x.shape
    inserted = x.new_zeros(n, c, h * factor, w * factor)
    inserted[:, :, ::factor, ::factor] = x
    return filtered(F.pad(inserted, tuple(padding)), taps) * factor**2


def plain(state: State, config: dict[str, Any], ws: Tensor, transform: Tensor | None = None) -> Tensor:
    """One image after the other, kernels modulated explicitly, zeros inserted and cropped as one reads it."""
    images = []
    for rows in ws:

        def affine(name: str, row: int, rows: Tensor = rows) -> Tensor:
            weight = state[f"synthesis.{name}.affine.weight"]
            return weight @ rows[row] / math.sqrt(W_DIM) + state[f"synthesis.{name}.affine.bias"]

        facts = config["input"]
        c, s, tx, ty = (lambda t: t / torch.hypot(t[0], t[1]))(affine("input", 0)).tolist()
        rotate = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
        move = torch.tensor([[1, 0, -tx], [0, 1, -ty], [0, 0, 1]], dtype=torch.float64)
        m = rotate @ move @ (state["synthesis.input.transform"] if transform is None else transform)
        freqs, size, rate = state["synthesis.input.freqs"], facts["size"], facts["sampling_rate"]
        at = ((2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1) * 0.5 * size / rate
        grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1)  # [y, x, (x, y)]
        phases, freqs = state["synthesis.input.phases"] + freqs @ m[:2, 2], freqs @ m[:2, :2]
        fade = (1 - (freqs.norm(dim=1) - facts["bandwidth"]) / (rate / 2 - facts["bandwidth"])).clamp(0, 1)
        waves = fade * torch.sin(2 * math.pi * (grid @ freqs.t() + phases))
        weight = state["synthesis.input.weight"]
        x = (waves @ (weight / math.sqrt(len(freqs))).t()).permute(2, 0, 1)[None]
        for i, facts in enumerate(config["layers"]):
            name = f"synthesis.layers.{i}"
            style, weight = affine(f"layers.{i}", i + 1), state[f"{name}.weight"]
            if facts["is_torgb"]:
                kernel = weight * (style / math.sqrt(weight[0].numel()))[:, None, None]
            else:
                kernel = weight / weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
                kernel = kernel * (style / style.square().mean().sqrt())[:, None, None]
                kernel = kernel / (kernel.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
            kernel = kernel / state[f"{name}.magnitude_ema"].sqrt()
            x = F.conv2d(x, kernel, state[f"{name}.bias"], padding=facts["kernel"] - 1)
            x = spread(x, state.get(f"{name}.up_filter"), facts["up_factor"], facts["padding"])
            x = x if facts["is_torgb"] else F.leaky_relu(x, 0.2) * math.sqrt(2)
            if facts["conv_clamp"] is not None:
                x = x.clamp(-facts["conv_clamp"], facts["conv_clamp"])
            step = facts["down_factor"]
            x = filtered(x, state.get(f"{name}.down_filter"))[:, :, ::step, ::step]
        images.append(x * config["output_scale"])
    return torch.cat(images)


@pytest.fixture(scope="module", params=["T", "R"])
def generator(request: pytest.FixtureRequest) -> StyleGAN3:
    state, config = drawn(32, request.param)
    return built({name: value.float() for name, value in state.items()}, config)


@pytest.fixture(scope="module")
def ws() -> Tensor:
    """Rows that differ, so that a mixed-up row shows."""
    return normal(range(2), (16, W_DIM))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["T", "R"])
def test_against_a_plain_implementation(kind: str, ws: Tensor) -> None:
    resolution = 32
    state, config = drawn(resolution, kind)
    generator = built(state, config)
    assert (generator.resolution, generator.num_ws, generator.w_dim, generator.z_dim) == (resolution, 16, W_DIM, 4)
    theirs = plain(state, config, ws[:1].double())
    assert theirs.shape == (1, 3, resolution, resolution)
    assert theirs.std() > 0.05
    torch.testing.assert_close(generator.synthesize(ws=ws[:1].double()), theirs, rtol=0, atol=1e-7)
    single = built({name: value.float() for name, value in state.items()}, config)
    torch.testing.assert_close(single.synthesize(ws=ws[:1]), theirs.float(), rtol=0, atol=1e-5)
    matrix = torch.tensor([[0.8, -0.6, 0.1], [0.6, 0.8, -0.2], [0, 0, 1]], dtype=torch.float64)
    moved = plain(state, config, ws[:1].double(), matrix)
    assert (moved - theirs).abs().max() > 0.1
    ours = generator.synthesize(SynthesisInput(ws=ws[:1].double(), transform=matrix))
    torch.testing.assert_close(ours, moved, rtol=0, atol=1e-7)


@pytest.mark.parametrize("clamp", [None, 0.7])
def test_the_clamp_acts_between_the_filters(clamp: float | None, ws: Tensor) -> None:
    state, config = drawn(32, "T")
    config = {**config, "layers": [{**facts, "conv_clamp": clamp} for facts in config["layers"]]}
    theirs = plain(state, config, ws[:1].double())
    torch.testing.assert_close(built(state, config).synthesize(ws=ws[:1].double()), theirs, rtol=0, atol=1e-7)
    assert torch.allclose(theirs, plain(*drawn(32, "T"), ws[:1].double())) == (clamp is None)


def test_sizes_as_the_paper_has_them() -> None:
    sizes = [rates.size for rates in boundaries(64)]
    assert sizes == [36] * 4 + [52] * 4 + [84] * 5 + [64] * 2
    state, config = drawn(64, "T")
    generator = StyleGAN3.for_state(state, config)
    assert [point.shape[1] for point in generator.feature_points] == [36, *sizes[:-1]]
    assert [slot.resolution for slot in generator.style_layout] == [36, 36, *sizes[:-1]]


def test_the_design_is_that_of_a_published_checkpoint() -> None:
    stored = read(read_content(GOLDEN / "D1_stylegan3_t.pkl"))
    for i, (facts, up, down) in enumerate(design(64, "T")):
        assert stored.config["layers"][i] == facts
        for name, taps in (("up_filter", up), ("down_filter", down)):
            theirs = stored.state.get(f"synthesis.layers.{i}.{name}")
            assert (theirs is None) == (taps is None)
            if theirs is not None and taps is not None:
                torch.testing.assert_close(theirs.double(), taps, rtol=0, atol=1e-6)
    assert stored.config["input"] == drawn(64, "T")[1]["input"]


def test_radial_filters_are_kept_where_they_are_not_critically_sampled() -> None:
    ranks = [down.ndim for _, _, down in design(64, "R") if down is not None]
    assert ranks == [2] * 12 + [1] * 2


FILTERS: list[Tensor | None] = [
    None,
    normal([0], (5,))[0].double(),
    normal([1], (12,))[0].double(),
    normal([2], (24,))[0].double(),
    normal([3], (7, 7))[0].double(),
]


@pytest.mark.parametrize("taps", FILTERS, ids=["none", "5", "12", "24", "7x7"])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_filters_that_are_not_symmetric(taps: Tensor | None, factor: int) -> None:
    x = normal(range(2), (3, 9, 9)).double()
    for padding in [(0, 0, 0, 0), (3, 1, 0, 2), (12, 12, 12, 12), (30, -7, -3, 30), (24, 20, 25, 28)]:
        edges = (9 * factor + padding[0] + padding[1], 9 * factor + padding[2] + padding[3])
        if min(edges) >= (1 if taps is None else len(taps)):
            torch.testing.assert_close(upsample(x, taps, factor, padding), spread(x, taps, factor, padding))
    wide = normal(range(2), (3, 31, 31)).double()
    theirs = filtered(wide, taps)[:, :, ::factor, ::factor]
    torch.testing.assert_close(downsample(wide, taps, factor), theirs)


def test_large_styles_of_one_image_do_not_affect_the_others(generator: StyleGAN3, ws: Tensor) -> None:
    """The authors' code normalises styles over the batch; ours does it image by image."""
    exact = copy.deepcopy(generator).double()
    mixed = torch.cat([ws[:1], 20 * ws[1:]]).double()
    singles = torch.cat([exact.synthesize(ws=rows[None]) for rows in mixed])
    torch.testing.assert_close(exact.synthesize(ws=mixed), singles, rtol=0, atol=1e-11)


def test_a_style_of_zeros_gives_finite_images(generator: StyleGAN3, ws: Tensor) -> None:
    styles = generator.styles(ws)
    styles["layers.3"] = torch.zeros_like(styles["layers.3"])
    assert generator.synthesize(styles=styles).isfinite().all()


def test_a_transform_moves_the_picture(generator: StyleGAN3, ws: Tensor) -> None:
    image = generator.synthesize(ws=ws)
    contrast = image.var(dim=(2, 3)).mean()
    assert torch.equal(generator.synthesize(SynthesisInput(ws=ws, transform=torch.eye(3))), image)
    shift = torch.eye(3)
    shift[0, 2] = 4 / 32  # four pixels of 32, to the left: the transform is the inverse of the movement
    moved = generator.synthesize(SynthesisInput(ws=ws, transform=shift))
    assert (moved[..., :-4] - image[..., 4:])[..., 6:-6, 6:-6].square().mean() < 0.01 * contrast
    assert (moved - image).square().mean() > 0.1 * contrast
    each = SynthesisInput(ws=ws, transform=torch.stack([torch.eye(3), shift]))
    torch.testing.assert_close(generator.synthesize(each), torch.stack([image[0], moved[1]]), rtol=0, atol=1e-5)
    stored = copy.deepcopy(generator)
    stored.synthesis.input.transform.copy_(shift)
    assert torch.equal(stored.synthesize(ws=ws), moved)


@pytest.mark.slow
def test_gradients_reach_every_input_and_are_right(ws: Tensor) -> None:
    exact = built(*drawn(32, "T"))
    probe = normal([9], (3, exact.resolution, exact.resolution)).double()

    def check(draw: Callable[[Tensor], Tensor], at: Tensor) -> None:
        at = at.double().requires_grad_()
        (gradient,) = torch.autograd.grad((draw(at) * probe).sum(), at)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
        along = normal([5], at.shape).squeeze(0).double()
        eps = 1e-7  # small: many pixels lie near the kink of some leaky ReLU
        with torch.no_grad():
            ahead, behind = ((draw(at + sign * eps * along) * probe).sum() for sign in (1, -1))
        assert float((gradient * along).sum()) == pytest.approx(float((ahead - behind) / (2 * eps)), rel=1e-4)

    w = ws[:1].double()
    styles = exact.styles(w)
    (feature,) = exact.features(SynthesisInput(ws=w), ["layers.6"]).values()
    check(lambda z: exact.synthesize(ws=exact.map(z)), normal([0], (exact.z_dim,)))
    check(lambda s: exact.synthesize(styles={**styles, "input": s}), styles["input"])
    check(lambda s: exact.synthesize(styles={**styles, "layers.5": s}), styles["layers.5"])
    check(lambda f: exact.synthesize(SynthesisInput(ws=w, features={"layers.6": f})), feature)
    check(lambda d: exact.synthesize(SynthesisInput(ws=w, deltas={"layers.2": d})), feature.new_zeros(1, 5, 36, 36))
    check(lambda t: exact.synthesize(SynthesisInput(ws=w, transform=t)), torch.eye(3))


def test_a_conditional_network() -> None:
    state, config = drawn(32, "R", labels=3)
    generator = built(state, config)
    assert (generator.label_dim, generator.z_dim) == (3, 4)
    z, labels = normal(range(3), (4,)).double(), torch.eye(3, dtype=torch.float64)
    embedded = labels @ state["mapping.embed.weight"].t() / math.sqrt(3) + state["mapping.embed.bias"]
    parts = [x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt() for x in (z, embedded)]
    x = torch.cat(parts, dim=1)
    for i in range(2):
        weight, bias = (state[f"mapping.fc{i}.{name}"] * 0.01 for name in ("weight", "bias"))
        x = F.leaky_relu(x @ weight.t() / math.sqrt(x.shape[1]) + bias, 0.2) * math.sqrt(2)
    torch.testing.assert_close(generator.map(z, labels)[:, 7], x)
    half = generator.map(z, labels, psi=0.5, cutoff=3)
    torch.testing.assert_close(half[:, 2], (x + generator.w_avg) / 2)
    torch.testing.assert_close(half[:, 3], x)
    with pytest.raises(UnsupportedError, match="is conditional"):
        generator.map(z)


def test_another_learning_rate_multiplier() -> None:
    state, config = drawn(32, "T")
    z = normal(range(2), (4,)).double()
    scaled = {name: value / 2 if name.startswith("mapping") else value for name, value in state.items()}
    twice = built(scaled, {**config, "lr_multiplier": 0.02})
    torch.testing.assert_close(twice.map(z), built(state, config).map(z))


def test_noise_padding_and_wrong_transforms_are_refused(generator: StyleGAN3, ws: Tensor) -> None:
    with pytest.raises(UnsupportedError, match="no noise inputs"):
        generator.synthesize(ws=ws, noise=[torch.zeros(1, 1, 36, 36)])
    with pytest.raises(UnsupportedError, match=r"no paddable convolution 'layers\.0'"):
        generator.synthesize(SynthesisInput(ws=ws, padding={"layers.0": torch.zeros(1, 6, 38, 38)}))
    with pytest.raises(UnsupportedError, match=r"no feature point 'layers\.14'"):
        generator.synthesize(SynthesisInput(ws=ws, features={"layers.14": torch.zeros(1, 3, 32, 32)}))
    with pytest.raises(ShapeError, match=r"features layers.0: wanted \[N, 5, 36, 36\]"):
        generator.synthesize(SynthesisInput(ws=ws, features={"layers.0": torch.zeros(1, 5, 16, 16)}))
    for shape in [(2, 3), (3, 3, 3), (2, 2, 3), (3,), (1, 3, 3)]:
        with pytest.raises(ShapeError, match="transform"):
            generator.synthesize(SynthesisInput(ws=ws, transform=torch.zeros(shape)))


def changed(config: dict[str, Any], **of_layer_4: Any) -> dict[str, Any]:
    layers = [{**facts, **(of_layer_4 if i == 4 else {})} for i, facts in enumerate(config["layers"])]
    return {**config, "layers": layers}


@pytest.mark.parametrize(
    "facts",
    [
        {"up_factor": 10**9},
        {"up_factor": 0},
        {"up_factor": -2},
        {"up_factor": 17},
        {"up_factor": 2.0},
        {"up_factor": True},
        {"down_factor": 0},
        {"down_factor": 10**400},
        {"down_factor": 16, "padding": [-6, -9, -6, 30]},
        {"padding": [10**9] * 4},
        {"padding": [4000] * 4},
        {"padding": [-4000, 4000] * 2},
        {"padding": [-6, -9, -6, -3]},
        {"padding": [-6, -9]},
        {"padding": "many"},
        {"padding": [0.5, -9, -6, -9]},
        {"kernel": 1},
        {"kernel": -1},
        {"is_torgb": True},
        {"is_torgb": 0},
        {"conv_clamp": 0},
        {"conv_clamp": -256},
        {"conv_clamp": math.nan},
        {"conv_clamp": math.inf},
        {"conv_clamp": "256"},
        {"colour": 1},
    ],
    ids=repr,
)
def test_hostile_layers(facts: dict[str, Any]) -> None:
    state, config = drawn(32, "T")
    with pytest.raises(CheckpointError):
        built(state, changed(config, **facts))


@pytest.mark.parametrize(
    "facts",
    [
        {"input": {"size": 10**9, "sampling_rate": 16.0, "bandwidth": 2.0}},
        {"input": {"size": 4000, "sampling_rate": 16.0, "bandwidth": 2.0}},
        {"input": {"size": -36, "sampling_rate": 16.0, "bandwidth": 2.0}},
        {"input": {"size": [36, 36], "sampling_rate": 16.0, "bandwidth": 2.0}},
        {"input": {"size": 36, "sampling_rate": 0, "bandwidth": 2.0}},
        {"input": {"size": 36, "sampling_rate": math.inf, "bandwidth": 2.0}},
        {"input": {"size": 36, "sampling_rate": 10**400, "bandwidth": 2.0}},
        {"input": {"size": 36, "sampling_rate": 4.0, "bandwidth": 2.0}},
        {"input": {"size": 36, "sampling_rate": 16.0}},
        {"input": None},
        {"layers": []},
        {"layers": {}},
        {"layers": [None] * 15},
        {"output_scale": math.nan},
        {"output_scale": None},
        {"lr_multiplier": 0},
        {"lr_multiplier": "0.01"},
        {"extra": 1},
    ],
    ids=repr,
)
def test_hostile_configurations(facts: dict[str, Any]) -> None:
    state, config = drawn(32, "T")
    with pytest.raises(CheckpointError):
        built(state, {**config, **facts})
    with pytest.raises(CheckpointError):
        built(state, {})


def some(*shape: int) -> Tensor:
    """A tensor of any shape that takes no memory."""
    return torch.zeros(1).expand(*shape)


@pytest.mark.parametrize(
    "tensors",
    [
        # A matrix of 10^12 numbers would lie between these two layers.
        {"mapping.fc0.bias": some(10**6), "mapping.fc0.weight": some(10**6, 1), "mapping.fc1.weight": some(W_DIM, 1)},
        {"w_avg": some(10**12)},
        {"w_avg": some(10**12), "mapping.fc1.weight": some(10**12, 1)},
        {"w_avg": torch.zeros(())},
        {"synthesis.input.weight": some(10**6, 10**6)},
        {"synthesis.input.weight": torch.zeros(6)},
        {"synthesis.input.freqs": some(6, 3)},
        {"synthesis.input.transform": some(2, 3)},
        {"synthesis.layers.2.weight": torch.zeros(0, 5, 3, 3)},
        {"synthesis.layers.2.weight": some(5, 6, 3)},
        {"synthesis.layers.2.weight": some(5, 6, 3, 5)},
        {"synthesis.layers.2.weight": some(10**12, 6, 3, 3)},
        {"synthesis.layers.2.affine.weight": some(6, 9)},
        {"synthesis.layers.2.bias": some(10**9)},
        {"synthesis.layers.2.magnitude_ema": some(1)},
        {"synthesis.layers.2.up_filter": some(10**6)},
        {"synthesis.layers.2.up_filter": torch.zeros(())},
        {"synthesis.layers.2.down_filter": some(12, 11)},
        {"synthesis.layers.15.weight": some(3, 3, 1, 1)},
        {"noise": some(2)},
    ],
    ids=lambda tensors: next(iter(tensors)),
)
def test_tensors_that_do_not_fit(tensors: State) -> None:
    state, config = drawn(32, "T")
    with pytest.raises(CheckpointError):
        StyleGAN3.for_state({**state, **tensors}, config)


def test_missing_tensors() -> None:
    state, config = drawn(32, "T")
    for name in state:
        with pytest.raises(CheckpointError):
            StyleGAN3.for_state({other: value for other, value in state.items() if other != name}, config)


def test_pictures_over_4096_pixels_are_refused() -> None:
    state, config = drawn(32, "T")
    last = config["layers"][-1]
    for edge, fits in ((4096, True), (4100, False)):
        wide = {**config, "layers": [*config["layers"][:-1], {**last, "padding": [0, edge - 32] * 2}]}
        if fits:
            assert StyleGAN3.for_state(state, wide).resolution == edge
        else:
            with pytest.raises(CheckpointError, match="over 4096"):
                StyleGAN3.for_state(state, wide)
