"""What every metric of METRICS promises."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data

from ganvert.base.errors import AssetError, ShapeError, UnknownNameError
from ganvert.images import area_resize, from_pil
from ganvert.scoring.metrics import METRICS, NamedMetric, available, metric

NAMES = [f"{name}_64" if entry.resized else name for name, entry in METRICS.items()]


@pytest.fixture(scope="module")
def load(assets: Path) -> Callable[..., NamedMetric]:
    """Every metric with its weights, loaded once; a test of an optional one that is not there is skipped."""

    def loaded(name: str, moved: bool = False) -> NamedMetric:
        if not available([name], assets):
            pytest.skip(f"{name}: its asset is optional, and not there")
        return metric(name, assets, moved=moved)

    return functools.cache(loaded)


@pytest.fixture(scope="module")
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Three targets, one face in three lights (NASA's portrait of E. Collins), and worse and worse copies of them."""
    face = from_pil([Image.fromarray(data.astronaut()[:256, 96:352])])
    targets = torch.cat([face, face * 0.8, face * 0.9 + 0.05])
    noise = torch.randn(face.shape, generator=torch.Generator().manual_seed(0))
    return targets + torch.tensor([0.02, 0.1, 0.2]).view(3, 1, 1, 1) * noise, targets


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_batch_of_three_equals_three_of_one(
    name: str, load: Callable[[str], NamedMetric], pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    measure = load(name)
    batch = measure(*pictures)
    alone = [measure(image[None], target[None]).item() for image, target in zip(*pictures, strict=True)]
    assert batch.dtype == torch.float64 and batch.shape == (3,)
    assert batch.isfinite().all()
    assert batch.tolist() == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_direction_is_the_declared_one(
    name: str, load: Callable[[str], NamedMetric], pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    measure = load(name)
    images, targets = pictures
    equal, worse = measure(targets[:1], targets[:1]).item(), measure(images[2:], targets[2:]).item()
    assert equal > worse if measure.higher_is_better else equal < worse
    if not measure.higher_is_better:
        assert equal == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["mse_64", "psnr_64", "ssim_64"])  # what clamps is shared by all: these are fast
def test_values_outside_the_range_count_as_what_is_seen(name: str, tmp_path: Path) -> None:
    face = from_pil([Image.fromarray(data.astronaut()[:256, 96:352])])
    measure = metric(name, tmp_path)
    assert measure(face * 1.5, face).tolist() == measure((face * 1.5).clamp(-1, 1), face).tolist()


def test_no_face_is_not_detected(load: Callable[..., NamedMetric]) -> None:
    face = from_pil([Image.fromarray(data.astronaut()[:256, 96:352])])
    grey = torch.zeros_like(face)
    pairs = torch.cat([face, grey, face]), torch.cat([face, face, grey])
    measure = load("identity_dlib")
    values = measure(*pairs)
    # A reconstruction is cut where its target has the face: one without a face is far away, and counts.
    assert values[0] == 0 and values[1] > 0.6 and values[2].isnan()
    rows = measure.rows([{"image_id": i} for i in range(3)], values)
    assert [row["status"] for row in rows] == ["ok", "ok", "not_detected"]
    assert rows[0] == {"image_id": 0, "metric": "identity_dlib", "value": 0.0, "status": "ok"}
    assert rows[2]["value"] is None
    # An edited face may lie anywhere, and is looked for.
    moved = load("identity_dlib", moved=True)(*pairs)
    assert moved[0] == 0 and moved[1:].isnan().all()


def test_an_edited_face_is_looked_for(load: Callable[..., NamedMetric]) -> None:
    face = from_pil([Image.fromarray(data.astronaut()[:256, 96:352])])
    shifted = face.roll(24, dims=3)
    assert load("identity_dlib", moved=True)(shifted, face) < 0.2 < load("identity_dlib")(shifted, face)


def test_an_optional_metric_is_left_out_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert available(["mse_64", "identity_mobilefacenet"], tmp_path) == ("mse_64",)
    (record,) = caplog.records
    for part in ("identity_mobilefacenet", "mobilefacenet.safetensors", "npm", "ganvert fetch"):
        assert part in record.getMessage()
    # Asked for by itself, it is an error like any missing asset.
    with pytest.raises(AssetError, match=r"mobilefacenet\.safetensors is missing; run `ganvert fetch`"):
        metric("identity_mobilefacenet", tmp_path)


def test_a_value_that_is_not_a_number_is_failed(tmp_path: Path) -> None:
    measure = metric("mse_8", tmp_path)
    values = measure(torch.full((1, 3, 8, 8), math.nan), torch.zeros(1, 3, 8, 8))
    assert measure.rows([{"image_id": "x"}], values)[0]["status"] == "failed"


def test_the_name_carries_the_resolution(tmp_path: Path) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    targets = images.flip(3)
    small = metric("mse_8", tmp_path)
    assert (small.name, small.resolution) == ("mse_8", 8)
    want = (area_resize(images, 8) - area_resize(targets, 8)).square().mean(dim=(1, 2, 3))
    assert small(images, targets).tolist() == pytest.approx(want.tolist(), rel=1e-6)
    assert (metric("mse_32", tmp_path)(images, targets) > small(images, targets)).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mse", "write mse_256"),
        ("mse_0", "write mse_256"),
        ("identity_dlib_256", "write identity_dlib"),
        ("msee_256", "Did you mean 'mse'"),
        ("256", "unknown metric '256'"),
        ("lpips_256", "known: identity_dlib, identity_mobilefacenet, identity_mobilefacenet_mtcnn, lpips_alex"),
    ],
)
def test_other_names_are_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=message):
        metric(name, tmp_path)


def test_wrong_shapes_and_missing_weights_are_refused(tmp_path: Path) -> None:
    measure = metric("mse_16", tmp_path)
    with pytest.raises(ShapeError, match="one shape"):
        measure(torch.zeros(2, 3, 16, 16), torch.zeros(1, 3, 16, 16))
    with pytest.raises(ShapeError, match="one shape"):
        measure(torch.zeros(3, 16, 16), torch.zeros(3, 16, 16))
    with pytest.raises(ShapeError, match="smaller"):
        measure(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
    for name in ("lpips_vgg_256", "lpips_alex_256", "identity_dlib"):
        with pytest.raises(AssetError):
            metric(name, tmp_path)
