"""Parsing of faces: the network on a known photograph, regions, and what must not change a result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from ganvert.base.errors import AssetError, NoRegionError, UnknownNameError
from ganvert.faces.align import align
from ganvert.faces.detect import FaceDetector
from ganvert.faces.parsing import (
    CLASSES,
    PARSER_FILE,
    REGIONS,
    FaceParser,
    find_region,
    has_face,
    load_parser,
    region_mask,
)


@pytest.fixture(scope="module")
def parser(assets: Path) -> FaceParser:
    return load_parser(assets)


@pytest.fixture(scope="module")
def crop(detector: FaceDetector) -> Image.Image:
    photo = Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB")
    return align(photo, detector.detect(photo)[0], 512).crop


def test_regions_of_a_known_face(parser: FaceParser, crop: Image.Image) -> None:
    labels = parser.labels(crop)
    assert labels.shape == (512, 512) and labels.max() < len(CLASSES)
    share = {name: float(find_region(labels, name).mean()) for name in REGIONS}
    assert 0.2 < share["face"] < 0.5 and 0.08 < share["hair"] < 0.6 and 0.002 < share["eyes"] < 0.02
    assert 0.004 < share["mouth"] < 0.05 and share["glasses"] == share["hat"] == 0
    assert share["background"] + share["person"] == pytest.approx(1)
    assert has_face(labels)
    # Where an aligned crop has them: eyes above the nose above the mouth, all of them near the middle.
    centres = [np.argwhere(find_region(labels, name)).mean(0) for name in ("eyes", "nose", "mouth")]
    assert centres[0][0] < centres[1][0] < centres[2][0]
    assert all(206 < column < 306 for _, column in centres)


def test_a_picture_is_parsed_alone(assets: Path, parser: FaceParser, crop: Image.Image) -> None:
    first = parser.labels(crop).copy()
    blank = parser.labels(Image.new("RGB", (512, 512), "grey"))
    assert not has_face(blank)
    np.testing.assert_array_equal(FaceParser(assets).labels(crop), first)


def test_masks(parser: FaceParser, crop: Image.Image) -> None:
    mask = region_mask(crop, "hair", 256, parser)
    assert mask.shape == (256, 256) and mask.dtype == np.float32 and mask.min() == 0 and mask.max() == 1
    assert mask.mean() == pytest.approx(find_region(parser.labels(crop), "hair").mean(), rel=0.01)
    with pytest.raises(NoRegionError, match="mask 'glasses': the picture shows none"):
        region_mask(crop, "glasses", 256, parser)
    with pytest.raises(UnknownNameError, match=r"region of a face 'hiar'; known: background, .*Did you mean 'hair'"):
        region_mask(crop, "hiar", 256, parser)


def test_every_class_has_a_region() -> None:
    assert {name for classes in REGIONS.values() for name in classes} == set(CLASSES)


def test_damaged_file(tmp_path: Path) -> None:
    (tmp_path / PARSER_FILE).write_bytes(b"broken")
    with pytest.raises(AssetError, match="delete it and fetch again"):
        FaceParser(tmp_path)
