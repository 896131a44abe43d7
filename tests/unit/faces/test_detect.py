"""Finding faces on real photographs, whole, small, cut and enlarged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from ganvert.base.errors import AssetError
from ganvert.faces.detect import LANDMARKS_FILE, FaceDetector


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB")


def test_one_face_where_it_is(detector: FaceDetector, astronaut: Image.Image) -> None:
    points = detector.detect(astronaut)[0]
    assert points.shape == (68, 2) and points.dtype == np.float64
    left, right, mouth = points[36:42].mean(0), points[42:48].mean(0), points[48:68].mean(0)
    np.testing.assert_allclose([left, right], [[203, 103], [247, 104]], atol=5)  # read off the picture
    assert mouth[1] > left[1] + 30


def test_same_picture_same_points(detector: FaceDetector, astronaut: Image.Image) -> None:
    np.testing.assert_array_equal(detector.detect(astronaut)[0], detector.detect(astronaut.copy())[0])


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.4, 2.0, 7.0])
def test_points_are_in_the_pixels_of_the_picture(detector: FaceDetector, astronaut: Image.Image, scale: float) -> None:
    small = astronaut.crop((100, 0, 356, 256))
    size = round(256 * scale)
    (expected, *_), found = (
        detector.detect(small),
        detector.detect(small.resize((size, size), Image.Resampling.LANCZOS)),
    )
    # A pixel centre c is at c + 0.5; 3 px of the original is a tenth of the distance between the eyes.
    error = np.linalg.norm((found[0] + 0.5) / scale - 0.5 - expected, axis=1)
    assert np.median(error) < 3


def test_ladder_finds_a_tightly_cropped_face(detector: FaceDetector, astronaut: Image.Image) -> None:
    tight = astronaut.crop((178, 75, 270, 178))
    found = detector.detect(tight, upsample=0)
    assert len(found) == 1
    whole = detector.detect(astronaut)[0] - (178, 75)
    assert np.median(np.linalg.norm(found[0] - whole, axis=1)) < 4


def test_largest_face_first(detector: FaceDetector, astronaut: Image.Image) -> None:
    face = astronaut.crop((130, 0, 330, 240))
    scene = Image.new("RGB", (700, 500), "grey")
    scene.paste(face, (20, 20))
    scene.paste(face.resize((400, 480)), (270, 10))
    first, second = detector.detect(scene, upsample=0)
    assert first[:, 0].min() > 270 > second[:, 0].max()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64)])
def test_nothing_to_find(detector: FaceDetector, size: tuple[int, int]) -> None:
    assert detector.detect(Image.new("RGB", size, "grey")) == []


def test_damaged_model_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=LANDMARKS_FILE):
        FaceDetector(tmp_path)
    (tmp_path / LANDMARKS_FILE).write_bytes(b"broken")
    with pytest.raises(AssetError, match="fetch again"):
        FaceDetector(tmp_path)
