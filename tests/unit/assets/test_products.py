"""The real assets: what the registry lists, and what the files made of it hold."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import load_file

from ganvert.assets import PRODUCTS
from ganvert.assets.base import pack_product
from ganvert.assets.fetching import MANIFEST
from ganvert.generators.mobile_stylegan import MobileStyleGAN


def test_registry_is_consistent() -> None:
    names = [product.name for product in PRODUCTS]
    assert len(set(names)) == len(names)
    for product in PRODUCTS:
        assert product.licence and product.notice and "\n" not in product.notice
        assert product.name != MANIFEST


def metadata(file: Path) -> dict[str, str]:
    with safetensors.safe_open(file, "pt") as handle:
        return handle.metadata()


def test_generator_loads_strictly(assets: Path) -> None:
    file = assets / "mobile_stylegan.safetensors"
    state = load_file(file)
    assert all(value.dtype == torch.float32 for value in state.values())
    generator = MobileStyleGAN([512, 512, 512, 512, 512, 256, 128, 64])
    generator.load_state_dict(state)
    (product,) = (product for product in PRODUCTS if product.name == file.name)
    facts = metadata(file)
    assert facts["format"] == "ganvert"
    assert facts["architecture"] == "mobile_stylegan"
    assert facts["source_sha256"] == product.source.sha256
    # The mean of 2,000 other w lies as near to w_avg as chance has it: squared distance = total variance / 2,000.
    with torch.inference_mode():
        w = generator.map_to_w(torch.randn(2_000, 512, generator=torch.Generator().manual_seed(7)))
    distance = (w.mean(0) - state["w_avg"]).square().sum()
    assert distance == pytest.approx(w.var(0).sum() / 2_000, rel=0.5)
    assert state["w_avg"].square().sum() > 100 * distance


@pytest.mark.parametrize(
    ("net", "widths"),
    [("vgg", [64, 64, 128, 128, 256, 256, 256] + [512] * 6), ("alex", [64, 192, 384, 256, 256])],
)
def test_lpips_files(assets: Path, net: str, widths: list[int]) -> None:
    file = assets / f"lpips_{net}.safetensors"
    state = load_file(file)
    assert metadata(file)["architecture"] == f"lpips_{net}"
    assert [state[f"conv{i}.weight"].shape[:2] for i in range(len(widths))] == list(
        zip(widths, [3, *widths[:-1]], strict=True)
    )
    assert [state[f"conv{i}.bias"].numel() for i in range(len(widths))] == widths
    # The linear heads are those of the authors' own package.
    heads = importlib.metadata.distribution("lpips").locate_file(f"lpips/weights/v0.1/{net}.pth")
    theirs = torch.load(str(heads), map_location="cpu", weights_only=True)
    for i in range(5):
        torch.testing.assert_close(state[f"lin{i}"], theirs[f"lin{i}.model.1.weight"].flatten(), rtol=0, atol=0)


def test_packing_is_the_same_in_every_process(assets: Path) -> None:
    """Header in sorted order and 8-byte aligned: the bytes depend on nothing but the tensors."""
    data = (assets / "lpips_alex.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size]
    assert size % 8 == 0
    assert header.rstrip() == json.dumps(json.loads(header), sort_keys=True, separators=(",", ":")).encode()
    tensors = load_file(assets / "lpips_alex.safetensors")
    (product,) = (product for product in PRODUCTS if product.name == "lpips_alex.safetensors")
    assert pack_product(product, "lpips_alex", tensors) == data


def test_copied_files_are_the_known_ones(assets: Path) -> None:
    """The digests of the ONNX models stand in their own manifest."""
    manifest = json.loads((assets / "age_gender_manifest.json").read_text())
    text = json.dumps(manifest)
    for name in ("age-v1.onnx", "gender-v1.onnx"):
        assert hashlib.sha256((assets / name).read_bytes()).hexdigest() in text
