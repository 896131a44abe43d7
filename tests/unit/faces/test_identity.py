"""dlib's network against dlib, same man near and other man far, and who may know the judge."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ganvert import assets as asset_files
from ganvert.base.errors import AssetError, CheckpointError
from ganvert.base.provenance import ROOT, imports, modules
from ganvert.faces.align import align
from ganvert.faces.chips import ARCFACE
from ganvert.faces.detect import FaceDetector
from ganvert.faces.dlib_network import DLIB_FILE, DlibDescriptor
from ganvert.faces.identity import SAME_PERSON, FaceDescriber, load_dlib, mtcnn_points
from ganvert.faces.mobilefacenet import MOBILEFACENET_FILE, MobileFaceNet
from ganvert.faces.photo import open_photo
from ganvert.images import from_bytes, from_pil, to_pil

GOLDEN = Path(__file__).parents[2] / "golden"
CPU = torch.device("cpu")


def golden_chips() -> Tensor:
    spec = importlib.util.spec_from_file_location("regenerate", GOLDEN / "regenerate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return from_bytes(module.dlib_chips())


def test_descriptors_equal_dlibs(assets: Path) -> None:
    """For the same chips, a batch of them; each has a gradient of its own."""
    chips = golden_chips().requires_grad_()
    descriptors = DlibDescriptor(assets)(chips)
    theirs = np.load(GOLDEN / "dlib_descriptor.npy")
    np.testing.assert_allclose(descriptors.detach().numpy(), theirs, rtol=0, atol=1e-5)
    descriptors[0].square().sum().backward()
    assert chips.grad is not None and chips.grad.isfinite().all()
    assert chips.grad[0].abs().max() > 0 and not chips.grad[1:].any()


def test_gradient_of_the_network(assets: Path) -> None:
    """With random weights, along random directions, in float64; the pooling's kinks are too rare to be met."""
    torch.manual_seed(0)
    for network, size in ((DlibDescriptor(assets), 150), (MobileFaceNet(assets), 112)):
        network.double().apply(lambda layer: reset() if (reset := getattr(layer, "reset_parameters", None)) else None)
        chips = (torch.rand(1, 3, size, size, dtype=torch.float64) * 2 - 1).requires_grad_()
        step = torch.randn_like(chips)
        weights = torch.randn_like(network(chips))
        (network(chips) * weights).sum().backward()
        assert chips.grad is not None
        with torch.no_grad():
            numeric = ((network(chips + 1e-6 * step) - network(chips - 1e-6 * step)) * weights).sum() / 2e-6
        assert (chips.grad * step).sum().item() == pytest.approx(numeric.item(), rel=1e-3)


@pytest.fixture(scope="module")
def people(assets: Path, detector: FaceDetector) -> Tensor:
    """Obama, Obama on another photograph and Biden, aligned at 256 px, and nobody."""
    folder = assets.parent / "sample_photos"
    photos = [open_photo(folder / f"{name}.jpg").image for name in ("obama", "obama2", "biden")]
    crops = [align(photo, detector.detect(photo)[0], 256).crop for photo in photos]
    return from_pil([*crops, Image.new("RGB", (256, 256))])


@pytest.mark.slow
def test_who_is_who(assets: Path, people: Tensor) -> None:
    dlib = load_dlib(assets, CPU)
    places = dlib.places(people)
    assert places.isfinite().all(dim=(1, 2)).tolist() == [True, True, True, False]
    obama, obama2, biden = dlib(people[:3], places[:3])
    assert torch.dist(obama, obama2) < SAME_PERSON < torch.dist(obama, biden)
    if not (assets / MOBILEFACENET_FILE).is_file():
        pytest.skip("MobileFaceNet is not there: no npm client")
    judge = FaceDescriber(MobileFaceNet(assets), ARCFACE, assets)
    obama, obama2, biden = judge(people[:3], judge.places(people)[:3])
    assert obama @ obama2 > 0.6 > 0.3 > obama @ biden


@pytest.mark.slow
def test_mtcnn_places_faces_where_landmarks_do(assets: Path, people: Tensor) -> None:
    """Two detectors that share nothing; in a picture of two faces both take the larger one, at any size."""
    obama, _, biden, _ = to_pil(people)
    two = Image.new("RGB", (1024, 1024))
    two.paste(obama.resize((400, 400)), (0, 0))
    two.paste(biden.resize((600, 600)), (400, 400))
    by_points = FaceDescriber(nn.Identity(), ARCFACE, assets, mtcnn_points(assets))
    by_landmarks = FaceDescriber(nn.Identity(), ARCFACE, assets)
    for pictures in (people, from_pil([two])):
        ours, theirs = by_points.places(pictures), by_landmarks.places(pictures)
        assert torch.equal(ours.isfinite(), theirs.isfinite())
        found = ours.isfinite().all(dim=(1, 2))
        assert found.any()
        # The corners of the chip in the picture, in parts of the chip's side.
        corners = torch.tensor([[0, 0, 1], [111, 0, 1], [0, 111, 1], [111, 111, 1]], dtype=torch.float64).mT
        side = 111 * ours[found, :, 0].norm(dim=1)
        apart = ((ours - theirs)[found] @ corners).norm(dim=1).amax(dim=1) / side
        assert (apart < 0.08).all(), apart


@pytest.mark.parametrize(("network", "name"), [(DlibDescriptor, DLIB_FILE), (MobileFaceNet, MOBILEFACENET_FILE)])
def test_missing_damaged_or_foreign_weights(network: type, name: str, assets: Path, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=rf"{name} is missing; run `ganvert fetch`"):
        network(tmp_path)
    (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(AssetError, match="fetch"):
        network(tmp_path)
    (tmp_path / name).write_bytes(asset_files.path("lpips_alex.safetensors", assets).read_bytes())
    with pytest.raises(CheckpointError, match=f"does not fit {network.__name__}"):
        network(tmp_path)


def test_nothing_that_optimises_or_trains_knows_the_judge() -> None:
    """Otherwise `identity_mobilefacenet` would measure what was minimised."""
    judge = "ganvert.faces.mobilefacenet"
    for package in ("losses", "encoders", "discriminators", "inversion", "training"):
        seen, queue = set(), modules(f"ganvert.{package}")
        while queue:
            module = queue.pop()
            if module not in seen:
                seen.add(module)
                queue += [name for name in imports(module) if name.startswith("ganvert.")]
        assert len(seen) > 5 and judge not in seen, package
        files = (ROOT / "ganvert" / package).rglob("*.py")
        assert [file for file in files if "mobilefacenet" in file.read_text().lower()] == []
    presets = list((ROOT / "presets").rglob("*.yaml"))
    assert presets and not [file for file in presets if "mobilefacenet" in file.read_text().lower()]
