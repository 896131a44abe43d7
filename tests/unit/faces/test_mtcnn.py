"""MTCNN's faces and points where dlib finds them, its parts in closed form, and the second look for faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image, ImageDraw

from ganvert.base.errors import AssetError, CheckpointError
from ganvert.faces.detect import LANDMARKS_FILE, FaceDetector
from ganvert.faces.mtcnn import MTCNN_FILE, Mtcnn, _suppress, _window
from ganvert.faces.pipeline import AlignOptions, align_photo
from ganvert.faces.turns import TURNS, Turn
from ganvert.images import to_png

CROP = (100, 0, 356, 256)


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB").crop(CROP)


@pytest.fixture(scope="module")
def both(assets: Path) -> FaceDetector:
    return FaceDetector(assets, second_look=True)


def five(landmarks: np.ndarray) -> np.ndarray:
    """Return MTCNN's points of 68 landmarks."""
    return np.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0), *landmarks[[30, 48, 54]]])


def without_hog(detector: FaceDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first detector find nothing."""
    monkeypatch.setattr(FaceDetector, "_detect", lambda *_, **__: ([], -np.inf))
    assert detector.detect(Image.new("RGB", (64, 64))) == []


def test_points_lie_where_dlib_sees_them(assets: Path, detector: FaceDetector, astronaut: Image.Image) -> None:
    (face,) = Mtcnn(assets).detect(astronaut)
    expected = five(detector.detect(astronaut)[0])
    assert face.score > 0.99 and face.points.shape == (5, 2)
    assert np.linalg.norm(face.points - expected, axis=1).max() < 6  # a seventh of the distance of the eyes
    assert (face.box[:2] < face.points.min(0)).all() and (face.box[2:] > face.points.max(0)).all()
    (doubled,) = Mtcnn(assets).detect(astronaut.resize((512, 512), Image.Resampling.LANCZOS))
    assert np.linalg.norm((doubled.points + 0.5) / 2 - 0.5 - face.points, axis=1).max() < 3


def test_boxes_that_overlap_a_better_one_are_dropped() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [2, 2, 6, 6]])
    scores = torch.tensor([0.8, 0.9, 0.7, 0.6])
    # Common areas: 90 of 110 between the first two, 16 of 100 with the small one, which lies in both.
    assert _suppress(boxes, scores, 0.7).tolist() == [1, 2, 3]
    assert _suppress(boxes, scores, 0.85).tolist() == [1, 0, 2, 3]
    assert _suppress(boxes, scores, 0.7, contained=True).tolist() == [1, 2]
    assert _suppress(boxes[:0], scores[:0], 0.7).tolist() == []


def test_windows_that_leave_the_picture_are_grey_there() -> None:
    picture = torch.ones(1, 3, 8, 8)
    window = _window(picture, [-4, 0, 4, 8], 4)
    assert not window[..., :2].any() and (window[..., 2:] == 1).all()
    assert not _window(picture, [40, 40, 50, 50], 4).any()


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (64, 64)])
def test_nothing_to_find(assets: Path, size: tuple[int, int]) -> None:
    assert Mtcnn(assets).detect(Image.new("RGB", size, "grey")) == []


def test_points_come_back_from_every_turn() -> None:
    image = Image.new("L", (7, 5))
    image.putpixel((5, 1), 255)
    for turn in TURNS:
        turned = np.asarray(turn.apply(image))
        y, x = np.unravel_index(turned.argmax(), turned.shape)
        assert turn.back(np.array([[x, y]]), 7, 5).tolist() == [[5, 1]]


@pytest.mark.slow
def test_who_spoke(both: FaceDetector, detector: FaceDetector, astronaut: Image.Image) -> None:
    """What the first detector finds is left alone, to the bit; a face with a bar over its mouth is for the second."""
    found = both.detect_turned(astronaut)
    assert (found.detector, found.degrees) == ("hog", 0)
    np.testing.assert_array_equal(found.faces[0], detector.detect(astronaut)[0])
    hidden = astronaut.copy()
    ImageDraw.Draw(hidden).rectangle([70, 122, 165, 190], fill=(30, 60, 90))
    nothing = detector.detect_turned(hidden)
    assert nothing.faces == [] and nothing.detector is None
    found = both.detect_turned(hidden)
    assert (found.detector, len(found.faces)) == ("mtcnn", 1)
    assert np.linalg.norm(five(found.faces[0])[:2] - five(detector.detect(astronaut)[0])[:2], axis=1).max() < 6
    row, crops = align_photo(to_png(hidden), "a.png", AlignOptions(resolution=64), both)
    assert (row["status"], row["detector"], row["faces"], len(crops)) == ("ok", "mtcnn", 1, 1)
    row, _ = align_photo(to_png(Image.new("RGB", (80, 80))), "a.png", AlignOptions(resolution=64), both)
    assert (row["status"], row["detector"]) == ("no_face", None)


@pytest.mark.slow
@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: str(turn.degrees))
@pytest.mark.parametrize("tilt", [0, 20])
def test_second_look_at_turned_and_tilted_faces(
    both: FaceDetector, astronaut: Image.Image, turn: Turn, tilt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Landmarks are where they are on the upright photograph, less than 3 px away for half of them."""
    angle = np.deg2rad(tilt)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # of pixels, y down
    expected = (both.detect(astronaut)[0] - 127.5) @ rotation.T + 127.5
    without_hog(both, monkeypatch)
    found = both.detect_turned(turn.apply(astronaut.rotate(tilt, Image.Resampling.BICUBIC)))
    assert (found.detector, len(found.faces), found.degrees) == ("mtcnn", 1, -turn.degrees % 360)
    back = turn.back(found.faces[0], *astronaut.size)
    assert np.median(np.linalg.norm(back - expected, axis=1)) < 3


def test_missing_damaged_or_foreign_weights(assets: Path, tmp_path: Path) -> None:
    (tmp_path / LANDMARKS_FILE).symlink_to((assets / LANDMARKS_FILE).resolve())
    with pytest.raises(AssetError, match=rf"{MTCNN_FILE} is missing; run `ganvert fetch`"):
        FaceDetector(tmp_path, second_look=True)
    (tmp_path / MTCNN_FILE).write_bytes(b"broken")
    with pytest.raises(AssetError, match="fetch"):
        Mtcnn(tmp_path)
    (tmp_path / MTCNN_FILE).write_bytes((assets / "lpips_alex.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="does not fit Mtcnn"):
        Mtcnn(tmp_path)
