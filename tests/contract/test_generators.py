"""Contract of every generator, whatever its architecture and the file it came from."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganvert.base.errors import ShapeError, UnsupportedError
from ganvert.compute.precision import PLAIN, Engine, Speed
from ganvert.compute.random import normal
from ganvert.generators import GENERATORS, Generator, SynthesisInput, load_generator
from ganvert.generators.blaze_stylegan import BlazeStyleGAN
from ganvert.images import area_resize

GOLDEN = Path(__file__).parents[1] / "golden" / "checkpoints"
FILES = {path.stem: path for path in sorted(GOLDEN.iterdir()) if path.suffix in (".pkl", ".pt", ".pth")}


@pytest.fixture(scope="module")
def architectures() -> set[str]:
    """Architectures of the generators tried so far."""
    return set()


@pytest.fixture(scope="module", params=["mobile_stylegan", "blaze_stylegan", *FILES])
def generator(request: pytest.FixtureRequest, architectures: set[str]) -> Generator:
    if request.param == "mobile_stylegan":
        generator: Generator = request.getfixturevalue("tiny_generator")
    elif request.param == "blaze_stylegan":
        generator = blaze_stylegan()
    else:
        generator = load_generator(FILES[request.param])
        generator.label = 1 if generator.label_dim else None
    architectures.add(generator.architecture)
    return generator


def blaze_stylegan() -> BlazeStyleGAN:
    """A network of 64 px with seeded weights whose activations keep their size."""
    generator = BlazeStyleGAN([16, 16, 12, 8], [8, 8, 8, 8], 16)
    with torch.no_grad():
        for i, (name, value) in enumerate(generator.state_dict().items()):
            if value.ndim:
                value.copy_(normal([i], value.shape)[0])
            if "affine" in name:  # styles about the inverse of the layers' scale, which depends on their width
                value.mul_(0.2).add_(3.0 * name.endswith("bias"))
            elif name.endswith(("depthwise", "depthwise.weight")):
                value.mul_(0.5)
            elif value.ndim > 1:
                value.div_(value[0].numel() ** 0.5)
            elif name.endswith("bias"):
                value.mul_(0.2)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def ws(generator: Generator) -> Tensor:
    """Rows that differ, so that a mixed-up row shows."""
    z = normal(range(2 * generator.num_ws), (generator.z_dim,)).unflatten(0, (2, generator.num_ws))
    return generator.map_rows(z)


def close(image: Tensor, expected: Tensor, scale: Tensor) -> None:
    """Assert equality to rounding, on the scale of an image: instance norms amplify it to 2.5e-5 with AVX-512."""
    assert float((image - expected).abs().max()) <= 5e-5 * max(1.0, float(scale.abs().max()))


def test_facts_fit_what_it_draws(generator: Generator, ws: Tensor) -> None:
    images = generator.synthesize(ws=ws)
    assert images.shape == (2, generator.image_channels, generator.resolution, generator.resolution)
    assert images.dtype == torch.float32
    assert images.isfinite().all()
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    assert {slot.row for slot in generator.style_layout} <= set(range(generator.num_ws))
    styles = generator.styles(ws)
    assert {name: value.shape[1] for name, value in styles.items()} == {
        slot.name: slot.width for slot in generator.style_layout
    }
    assert list(styles) == [slot.name for slot in generator.style_layout]


def test_a_smaller_picture_is_made_of_averages(generator: Generator, ws: Tensor) -> None:
    whole = generator.synthesize(ws=ws)
    for px in (4, generator.resolution // 2, generator.resolution // 2 + 1, generator.resolution):
        images, seen = generator.run(SynthesisInput(ws=ws), read=[generator.feature_points[-1].name], px=px)
        assert px <= images.shape[-1] <= generator.resolution and seen
        close(images, area_resize(whole, images.shape[-1]), whole)


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Length of the difference, relative to that of the exact tensor."""
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.slow
def test_bfloat16_draws_nearly_the_same(generator: Generator, ws: Tensor) -> None:
    """Eight bits of mantissa a layer: images within 3 %; within 7.5 % where instance norms amplify the rounding."""
    amplified = 2.5 if generator.architecture == "stylegan1" else 1
    engine, results = Engine(generator), []
    point = generator.feature_points[-1].name
    for speed in (PLAIN, Speed(precision="bfloat16")):
        engine.now = speed
        code = ws.clone().requires_grad_()
        images, seen = engine.run(SynthesisInput(ws=code), read=[point])
        (gradient,) = torch.autograd.grad((images - 0.3).square().sum(), code)
        assert images.dtype == seen[point].dtype == gradient.dtype == torch.float32
        results.append((images.detach(), seen[point].detach(), gradient))
    (exact, feature, slope), (near, near_feature, near_slope) = results
    assert 0 < relative(near, exact) < 0.03 * amplified
    assert 0 < relative(near_feature, feature) < 0.03 * amplified
    assert relative(near_slope, slope) < 0.06 * amplified
    assert float(torch.cosine_similarity(near_slope.flatten(), slope.flatten(), dim=0)) > 1 - 0.002 * amplified**2
    # What is between is bfloat16 with channels last, not converted back and forth; and the generator is as it was.
    _, inside = generator.in_bfloat16().run(SynthesisInput(ws=ws), read=[point])
    assert inside[point].dtype == torch.bfloat16
    assert inside[point].is_contiguous(memory_format=torch.channels_last)
    engine.now = PLAIN
    assert torch.equal(engine.synthesize(SynthesisInput(ws=ws)), exact)


@pytest.mark.slow
def test_bfloat16_takes_all_inputs(generator: Generator, ws: Tensor) -> None:
    """Noise, an injected feature, a scale, a delta with a mask, and padding are cast with the rest."""
    point = generator.feature_points[len(generator.feature_points) // 2]
    feature = generator.features(SynthesisInput(ws=ws), [point.name])[point.name]
    inputs = {"ws": ws, "features": {point.name: feature}}
    inputs["scales"] = {point.name: 0.1 * normal(range(2), point.shape)}
    inputs |= {"deltas": {point.name: 0.1 * feature}, "masks": {point.name: torch.ones(2, 1, *point.shape[1:])}}
    if generator.noise_shapes:
        inputs["noise"] = [normal([i], (1, *shape)) for i, shape in enumerate(generator.noise_shapes)]
    last = generator.paddable[-1:]
    inputs["padding"] = {p.name: normal([0], (p.channels, p.resolution + 2, p.resolution + 2)) for p in last}
    engine = Engine(generator)
    exact = engine.synthesize(SynthesisInput(**inputs))
    engine.now = Speed(precision="bfloat16")
    assert 0 < relative(engine.synthesize(SynthesisInput(**inputs)), exact) < 0.06


def test_truncation_in_closed_form(generator: Generator) -> None:
    z = normal(range(2), (generator.z_dim,))
    full = generator.map(z)
    assert full.shape == (2, generator.num_ws, generator.w_dim)
    half = generator.map(z, psi=0.5)
    torch.testing.assert_close(half, (full + generator.w_avg) / 2)
    cut = generator.map(z, psi=0.5, cutoff=3)
    assert torch.equal(cut[:, :3], half[:, :3])
    assert torch.equal(cut[:, 3:], full[:, 3:])
    torch.testing.assert_close(generator.map_to_w(7 * z), generator.map_to_w(z), rtol=1e-4, atol=1e-4)


def test_labels(generator: Generator) -> None:
    z = normal(range(2), (generator.z_dim,))
    if not generator.label_dim:
        with pytest.raises(UnsupportedError, match="not conditional"):
            generator.map(z, labels=torch.eye(2))
        return
    first, second = (torch.eye(generator.label_dim)[[i, i]] for i in (0, 1))
    assert torch.equal(generator.map(z), generator.map(z, second))
    assert not torch.allclose(generator.map(z, first), generator.map(z, second))
    with pytest.raises(ShapeError, match="labels"):
        generator.map(z, torch.eye(2, generator.label_dim + 1))
    other = copy.deepcopy(generator)
    other.label = None
    with pytest.raises(UnsupportedError, match="conditional"):
        other.map(z)


def test_one_z_per_row(generator: Generator) -> None:
    z = normal(range(generator.num_ws), (generator.z_dim,))[None]
    rows = generator.map_rows(z)
    for i in (0, generator.num_ws - 1):
        torch.testing.assert_close(rows[:, i], generator.map(z[:, i])[:, i], rtol=1e-4, atol=1e-5)


def test_batch_equals_singles(generator: Generator, ws: Tensor) -> None:
    images = generator.synthesize(ws=ws)
    close(images, torch.cat([generator.synthesize(ws=rows[None]) for rows in ws]), images)


def test_styles_stand_for_ws(generator: Generator, ws: Tensor) -> None:
    image, styles, others = generator.synthesize(ws=ws), generator.styles(ws), generator.styles(ws.flip(0))
    close(generator.synthesize(styles=styles), image, image)
    for name in (generator.style_layout[1].name, generator.style_layout[-1].name):
        mixed = generator.synthesize(styles={**styles, name: others[name]})
        close(generator.synthesize(ws=ws, styles={name: others[name]}), mixed, mixed)
        assert not torch.allclose(mixed, image)


def test_each_slot_reads_the_row_it_names(generator: Generator, ws: Tensor) -> None:
    before = generator.styles(ws)
    for row in range(generator.num_ws):
        moved = ws.clone()
        moved[:, row] += 1
        changed = {name for name, value in generator.styles(moved).items() if not torch.equal(value, before[name])}
        assert changed == {slot.name for slot in generator.style_layout if slot.row == row}


def test_style_weights_are_those_of_the_affine_layers(generator: Generator, ws: Tensor) -> None:
    weights, before = generator.style_weights(), generator.styles(ws[:1])
    after = generator.styles(ws[1:])
    assert list(weights) == list(before)
    for slot in generator.style_layout:
        change = weights[slot.name] @ (ws[1, slot.row] - ws[0, slot.row])
        scale = float((after[slot.name] - before[slot.name]).abs().max())
        assert torch.allclose(change, (after[slot.name] - before[slot.name])[0], rtol=1e-4, atol=1e-5 * (1 + scale))
    # Colours come last where they come from styles at all: StyleGAN1's toRGB has none.
    assert not any(slot.to_rgb for slot in generator.style_layout[:-1] if not slot.name.endswith("torgb"))
    assert generator.style_layout[-1].to_rgb is (generator.architecture != "stylegan1")


@pytest.mark.slow
def test_injected_features_hide_what_is_coarser(generator: Generator, ws: Tensor) -> None:
    whole = generator.synthesize(ws=ws)
    activations = generator.features(SynthesisInput(ws=ws), [point.name for point in generator.feature_points])
    # StyleGAN2 (skip) sums images of all resolutions; an injected feature does not carry those of the coarser ones.
    sums = [slot.name for slot in generator.style_layout if slot.name.endswith("torgb")][:-1]
    for point in generator.feature_points:
        feature = activations[point.name]
        assert feature.shape == (len(ws), *point.shape)
        image = generator.synthesize(SynthesisInput(ws=ws, features={point.name: feature}))
        if not sums:
            close(image, whole, whole)
        coarse, fine = ws.clone(), ws.clone()
        coarse[:, : point.first_row] += 1
        fine[:, point.first_row] += 1
        unmoved = generator.synthesize(SynthesisInput(ws=coarse, features={point.name: feature}))
        assert torch.equal(unmoved, image)
        moved = generator.synthesize(SynthesisInput(ws=fine, features={point.name: feature}))
        assert not torch.equal(moved, image)
        again = generator.features(SynthesisInput(ws=ws, features={point.name: feature}), [point.name])
        assert torch.equal(again[point.name], feature)


def test_reading_stops_after_the_last_point(generator: Generator, ws: Tensor) -> None:
    first, middle = generator.feature_points[0].name, generator.feature_points[3].name
    empty, early = generator.run(SynthesisInput(ws=ws), read=[middle, first], stop=True)
    image, late = generator.run(SynthesisInput(ws=ws), read=[middle])
    assert empty.shape == (len(ws), generator.image_channels, 0, 0)
    assert set(early) == {first, middle}
    assert torch.equal(early[middle], late[middle])
    assert image.shape[-1] == generator.resolution


def test_deltas_add_at_their_point_under_their_mask(generator: Generator, ws: Tensor) -> None:
    image = generator.synthesize(ws=ws)
    for point in generator.feature_points[1::4]:
        name, delta, mask = point.name, normal(range(2), point.shape), torch.zeros(1, 1, *point.shape[1:])
        hidden = SynthesisInput(ws=ws, deltas={name: delta}, masks={name: mask})
        assert torch.equal(generator.synthesize(hidden), image)
        mask[..., : mask.shape[-1] // 2] = 1
        (before,) = generator.features(SynthesisInput(ws=ws), [name]).values()
        half = SynthesisInput(ws=ws, deltas={name: delta}, masks={name: mask})
        (after,) = generator.features(half, [name]).values()
        torch.testing.assert_close(after, before + delta * mask)
        assert not torch.allclose(generator.synthesize(half), image)
        (full,) = generator.features(SynthesisInput(ws=ws, deltas={name: delta}), [name]).values()
        torch.testing.assert_close(full, before + delta)
    with pytest.raises(UnsupportedError, match="mask acts on the delta"):
        generator.synthesize(SynthesisInput(ws=ws, masks={name: mask}))


def test_a_scale_acts_at_its_point_before_the_delta(generator: Generator, ws: Tensor) -> None:
    image = generator.synthesize(ws=ws)
    for point in generator.feature_points[1::4]:
        name, scale, delta = point.name, *(normal(range(i, i + 2), point.shape) for i in (0, 2))
        zero = SynthesisInput(ws=ws, scales={name: 0 * scale}, deltas={name: 0 * delta})
        assert torch.equal(generator.synthesize(zero), image)
        (before,) = generator.features(SynthesisInput(ws=ws), [name]).values()
        changed = SynthesisInput(ws=ws, scales={name: scale}, deltas={name: delta})
        (after,) = generator.features(changed, [name]).values()
        torch.testing.assert_close(after, before * (1 + scale) + delta)
        assert not torch.allclose(generator.synthesize(changed), image)


def test_padding_replaces_zeros(generator: Generator, ws: Tensor) -> None:
    image = generator.synthesize(ws=ws)
    for conv in generator.paddable:
        size = conv.resolution + 2
        padding = torch.zeros(1, conv.channels, size, size)
        close(generator.synthesize(SynthesisInput(ws=ws, padding={conv.name: padding})), image, image)
        moved = generator.synthesize(SynthesisInput(ws=ws, padding={conv.name: padding + 0.5}))
        assert not torch.allclose(moved, image)
        padding += 0.5
        padding[:, :, 1:-1, 1:-1] = 99  # the inside is the feature's
        assert torch.equal(generator.synthesize(SynthesisInput(ws=ws, padding={conv.name: padding})), moved)


def test_noise(generator: Generator, ws: Tensor) -> None:
    const, none = (generator.synthesize(ws=ws, noise=kind) for kind in ("const", "none"))  # type: ignore[arg-type]
    if not generator.noise_shapes:
        assert torch.equal(const, none)
        for maps in ([torch.zeros(1, 1, 4, 4)], []):
            with pytest.raises(UnsupportedError, match="no noise"):
                generator.synthesize(ws=ws, noise=maps)
        return
    with pytest.raises(ShapeError, match="maps, got 1"):
        generator.synthesize(ws=ws, noise=[torch.zeros(1, 1, 4, 4)])
    with pytest.raises(ShapeError, match="noise map"):
        generator.synthesize(ws=ws, noise=[torch.zeros(1, 1, 4, 4)] * len(generator.noise_shapes))
    assert not torch.allclose(const, none)
    close(generator.synthesize(ws=ws, noise=generator.stored_noise()), const, const)
    zeros = [torch.zeros(1, 1, *shape) for shape in generator.noise_shapes]
    close(generator.synthesize(ws=ws, noise=zeros), none, none)
    own = [torch.zeros(2, 1, *shape) for shape in generator.noise_shapes]
    own[-1][1] = 1
    changed = (generator.synthesize(ws=ws, noise=own) - none).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert changed.tolist() == [False, True]


@pytest.mark.slow
def test_gradients_are_those_of_the_picture(generator: Generator, ws: Tensor) -> None:
    exact = copy.deepcopy(generator).double()
    at = ws[:1].double().requires_grad_()
    probe = normal([9], (generator.image_channels, generator.resolution, generator.resolution)).double()
    (gradient,) = torch.autograd.grad((exact.synthesize(ws=at) * probe).sum(), at)
    along, eps = normal([5], ws.shape[1:]).double(), 1e-8  # small: no kink of a leaky ReLU between
    with torch.no_grad():
        ahead, behind = ((exact.synthesize(ws=at + sign * eps * along) * probe).sum() for sign in (1, -1))
    assert float((gradient * along).sum()) == pytest.approx(float((ahead - behind) / (2 * eps)), rel=1e-4)


def test_wrong_inputs_are_refused(generator: Generator, ws: Tensor) -> None:
    slot, point = generator.style_layout[0], generator.feature_points[1]
    styles = generator.styles(ws)
    with pytest.raises(ShapeError, match=rf"z: wanted \[N, {generator.z_dim}\], got \[1, {generator.z_dim + 1}\]"):
        generator.map(torch.zeros(1, generator.z_dim + 1))
    wrong_shapes: dict[str, dict[str, object]] = {
        "ws: wanted": {"ws": ws[:, :-1]},
        f"style {slot.name}": {"styles": {slot.name: torch.zeros(1, slot.width + 1)}},
        f"features {point.name}": {"features": {point.name: torch.zeros(1, *point.shape)[:, 1:]}},
    }
    for conv in generator.paddable[:1]:
        shape = (1, conv.channels, conv.resolution + 1, conv.resolution + 2)
        wrong_shapes[f"padding {conv.name}"] = {"padding": {conv.name: torch.zeros(shape)}}
    for message, wrong in wrong_shapes.items():
        with pytest.raises(ShapeError, match=message):
            generator.synthesize(SynthesisInput(**{"ws": ws, **wrong}))
    for message, wrong in (
        ("give ws, or all", {"ws": None, "styles": {slot.name: styles[slot.name]}}),
        ("no style 'nothing'", {"styles": {"nothing": ws[:, 0]}}),
        ("no feature point 'nothing'", {"features": {"nothing": ws}}),
        ("no feature point 'nothing'", {"deltas": {"nothing": ws}}),
        ("no feature point 'nothing'", {"scales": {"nothing": ws}}),
        ("no paddable convolution 'nothing'", {"padding": {"nothing": ws}}),
        ("'random'", {"noise": "random"}),
    ):
        with pytest.raises(UnsupportedError, match=message):
            generator.synthesize(SynthesisInput(**{"ws": ws, **wrong}))
    transform = torch.eye(3)[:2] if generator.architecture == "stylegan3" else torch.eye(3)
    with pytest.raises((UnsupportedError, ShapeError), match="transform"):
        generator.synthesize(SynthesisInput(ws=ws, transform=transform))


def test_fingerprint_is_of_weights_and_configuration(generator: Generator) -> None:
    first = generator.fingerprint()
    other = copy.deepcopy(generator)
    assert other.fingerprint() == first
    other.config = {**other.config, "conv_clamp": 3.0}
    assert other.fingerprint() != first
    other = copy.deepcopy(generator)
    other.w_avg[0] += 1e-3
    assert other.fingerprint() != first


def test_every_architecture_is_tried(architectures: set[str]) -> None:
    """Runs last: the tests above have loaded a generator of every file."""
    assert architectures == set(GENERATORS)
