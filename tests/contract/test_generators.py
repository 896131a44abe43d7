"""What every generator promises, whatever architecture and whatever file it came from."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganvert.base.errors import ShapeError, UnsupportedError
from ganvert.compute.random import normal
from ganvert.generators import GENERATORS, Generator, SynthesisInput, load_generator
from ganvert.images import area_resize

GOLDEN = Path(__file__).parents[1] / "golden" / "checkpoints"
FILES = sorted(path for path in GOLDEN.iterdir() if path.suffix in (".pkl", ".pt", ".pth"))


@pytest.fixture(scope="module", params=["mobile_stylegan", *(path.stem for path in FILES)])
def generator(request: pytest.FixtureRequest) -> Generator:
    if request.param == "mobile_stylegan":
        return request.getfixturevalue("tiny_generator")
    (path,) = (path for path in FILES if path.stem == request.param)
    generator = load_generator(path)
    generator.label = 1 if generator.label_dim else None
    return generator


@pytest.fixture(scope="module")
def ws(generator: Generator) -> Tensor:
    """Rows that differ, so that a mixed-up row shows."""
    z = normal(range(2 * generator.num_ws), (generator.z_dim,)).unflatten(0, (2, generator.num_ws))
    return generator.map_rows(z)


def close(one: Tensor, other: Tensor, scale: Tensor) -> None:
    """Equal to rounding, on the scale of a picture."""
    assert float((one - other).abs().max()) <= 2e-5 * max(1.0, float(scale.abs().max()))


def test_every_architecture_is_tried() -> None:
    tried = {load_generator(path).architecture for path in FILES} | {"mobile_stylegan"}
    assert tried == set(GENERATORS)


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
    close(images, torch.cat([generator.synthesize(ws=one[None]) for one in ws]), images)


def test_styles_are_another_way_to_say_ws(generator: Generator, ws: Tensor) -> None:
    image, styles = generator.synthesize(ws=ws), generator.styles(ws)
    close(generator.synthesize(styles=styles), image, image)
    name = generator.style_layout[1].name
    other = generator.styles(ws.flip(0))[name]
    mixed = generator.synthesize(styles={**styles, name: other})
    close(generator.synthesize(ws=ws, styles={name: other}), mixed, mixed)
    assert not torch.allclose(mixed, image)


def test_each_slot_reads_the_row_it_names(generator: Generator, ws: Tensor) -> None:
    before = generator.styles(ws)
    for row in range(generator.num_ws):
        moved = ws.clone()
        moved[:, row] += 1
        changed = {name for name, value in generator.styles(moved).items() if not torch.equal(value, before[name])}
        assert changed == {slot.name for slot in generator.style_layout if slot.row == row}


def test_injected_features_hide_what_is_coarser(generator: Generator, ws: Tensor) -> None:
    seen = generator.features(SynthesisInput(ws=ws), [point.name for point in generator.feature_points])
    for point in generator.feature_points:
        feature = seen[point.name]
        assert feature.shape == (len(ws), *point.shape)
        image = generator.synthesize(SynthesisInput(ws=ws, features={point.name: feature}))
        coarse, fine = ws.clone(), ws.clone()
        coarse[:, : point.first_row] += 1
        fine[:, point.first_row] += 1
        unmoved = generator.synthesize(SynthesisInput(ws=coarse, features={point.name: feature}))
        assert torch.equal(unmoved, image)
        moved = generator.synthesize(SynthesisInput(ws=fine, features={point.name: feature}))
        assert not torch.equal(moved, image)
        again = generator.features(SynthesisInput(ws=ws, features={point.name: feature}), [point.name])
        assert torch.equal(again[point.name], feature)


def test_deltas_add_at_their_point_under_their_mask(generator: Generator, ws: Tensor) -> None:
    image = generator.synthesize(ws=ws)
    for point in generator.feature_points[1::3]:
        delta, mask = normal(range(2), point.shape), torch.zeros(1, 1, *point.shape[1:])
        added = generator.synthesize(SynthesisInput(ws=ws, deltas={point.name: delta}))
        assert not torch.allclose(added, image)
        hidden = SynthesisInput(ws=ws, deltas={point.name: delta}, masks={point.name: mask})
        assert torch.equal(generator.synthesize(hidden), image)
        whole = SynthesisInput(ws=ws, deltas={point.name: delta}, masks={point.name: mask + 1})
        assert torch.equal(generator.synthesize(whole), added)
        (before,) = generator.features(SynthesisInput(ws=ws), [point.name]).values()
        (after,) = generator.features(SynthesisInput(ws=ws, deltas={point.name: delta}), [point.name]).values()
        torch.testing.assert_close(after, before + delta)


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
        with pytest.raises(UnsupportedError, match="no noise"):
            generator.synthesize(ws=ws, noise=[torch.zeros(1, 1, 4, 4)])
        return
    assert not torch.allclose(const, none)
    zeros = [torch.zeros(1, 1, *shape) for shape in generator.noise_shapes]
    close(generator.synthesize(ws=ws, noise=zeros), none, none)
    own = [torch.zeros(2, 1, *shape) for shape in generator.noise_shapes]
    own[-1][1] = 1
    changed = (generator.synthesize(ws=ws, noise=own) - none).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert changed.tolist() == [False, True]


def test_gradients_are_those_of_the_picture(generator: Generator, ws: Tensor) -> None:
    exact = copy.deepcopy(generator).double()
    at = ws[:1].double().requires_grad_()
    probe = normal([9], (generator.image_channels, generator.resolution, generator.resolution)).double()
    (gradient,) = torch.autograd.grad((exact.synthesize(ws=at) * probe).sum(), at)
    along, eps = normal([5], ws.shape[1:]).double(), 1e-8  # small: no kink of a leaky ReLU between
    with torch.no_grad():
        ahead, behind = ((exact.synthesize(ws=at + sign * eps * along) * probe).sum() for sign in (1, -1))
    assert float((gradient * along).sum()) == pytest.approx(float((ahead - behind) / (2 * eps)), rel=1e-4)


def test_what_it_cannot_be_told(generator: Generator, ws: Tensor) -> None:
    with pytest.raises(ShapeError, match="z: wanted"):
        generator.map(torch.zeros(1, generator.z_dim + 1))
    with pytest.raises(ShapeError, match="ws: wanted"):
        generator.synthesize(ws=ws[:, :-1])
    with pytest.raises(UnsupportedError, match="no style 'nothing'"):
        generator.synthesize(ws=ws, styles={"nothing": ws[:, 0]})
    for told in ({"features": {"nothing": ws}}, {"deltas": {"nothing": ws}}):
        with pytest.raises(UnsupportedError, match="no feature point 'nothing'"):
            generator.synthesize(SynthesisInput(ws=ws, **told))
    with pytest.raises(UnsupportedError, match="no paddable convolution 'nothing'"):
        generator.synthesize(SynthesisInput(ws=ws, padding={"nothing": ws}))
    wrong = torch.eye(3)[:2] if generator.architecture == "stylegan3" else torch.eye(3)
    with pytest.raises((UnsupportedError, ShapeError), match="transform"):
        generator.synthesize(SynthesisInput(ws=ws, transform=wrong))


def test_fingerprint_is_of_weights_and_configuration(generator: Generator) -> None:
    first = generator.fingerprint()
    other = copy.deepcopy(generator)
    assert other.fingerprint() == first
    other.config = {**other.config, "conv_clamp": 3.0}
    assert other.fingerprint() != first
    other = copy.deepcopy(generator)
    other.w_avg[0] += 1e-3
    assert other.fingerprint() != first
