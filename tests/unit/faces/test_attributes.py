"""Attribute scores on real photographs, and what must hold for any face."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image, ImageOps

from ganvert.base.errors import AssetError, UnknownNameError
from ganvert.faces.age_gender import MANIFEST_FILE
from ganvert.faces.attributes import ATTRIBUTES, AttributeScorer, Face
from ganvert.faces.parsing import CLASSES, PARSER_FILE


@pytest.fixture(scope="module")
def scorer(assets: Path) -> AttributeScorer:
    return AttributeScorer(assets)


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB")


def test_every_attribute_of_a_known_face(scorer: AttributeScorer, astronaut: Image.Image) -> None:
    (scores,) = scorer.score([astronaut])
    assert list(scores) == list(ATTRIBUTES)
    assert all(isinstance(value, float) and np.isfinite(value) for value in scores.values())
    assert scores["gender"] < 0 and 20 < scores["age"] < 50  # Eileen Collins, 35
    assert scores["smile"] > 1.2 and scores["mouth_open"] > 0.05 and 0.2 < scores["eyes_open"] < 0.45
    assert abs(scores["yaw"]) < 15 and abs(scores["roll"]) < 10
    assert scores["smile_expression"] > 3 and scores["happy"] > 0.95
    assert scores["glasses"] == scores["hat"] == 0
    assert 0.1 < scores["hair_length"] < 0.8 and scores["bald"] < 0.5


def test_pictures_do_not_influence_each_other(scorer: AttributeScorer, astronaut: Image.Image) -> None:
    blank = Image.new("RGB", (256, 256), "grey")
    alone = scorer.score([astronaut])[0]
    first, nobody, last = scorer.score([astronaut, blank, astronaut])
    assert first == last == alone
    assert set(nobody) == set(ATTRIBUTES) and set(nobody.values()) == {None}
    assert scorer.score([]) == []


def test_mirror_and_turn(scorer: AttributeScorer, astronaut: Image.Image) -> None:
    face = astronaut.crop((96, 0, 352, 256)).resize((512, 512))
    plain, mirrored, turned = scorer.score([face, ImageOps.mirror(face), face.rotate(-10, fillcolor="grey")])
    for name in ("yaw", "roll"):
        assert plain[name] is not None and mirrored[name] is not None
        assert abs(plain[name] + mirrored[name]) < 5  # the landmark model is not symmetric itself
    assert turned["roll"] - plain["roll"] == pytest.approx(10, abs=2.5)  # type: ignore[operator]
    assert abs(mirrored["age"] - plain["age"]) < 12  # type: ignore[operator]


def face_of(points: np.ndarray) -> Face:
    return Face(Image.new("RGB", (1, 1)), points, {})


def neutral() -> np.ndarray:
    """Landmarks of a drawn face: eyes 100 px apart, closed mouth 80 px wide."""
    points = np.full((68, 2), 200.0)
    for first, x in ((36, 150), (42, 250)):
        points[first : first + 6] = np.array([[-20, 0], [-7, -6], [7, -6], [20, 0], [7, 6], [-7, 6]]) + np.array(
            [x, 150]
        )
    points[[27, 30, 33]] = [[200, 148], [200, 195], [200, 210]]
    points[[48, 54]] = [[160, 250], [240, 250]]
    points[[51, 57, 62, 66]] = [[200, 240], [200, 260], [200, 250], [200, 250]]
    points[[61, 63, 65, 67]] = [[185, 250], [215, 250], [215, 250], [185, 250]]
    return points


def test_expression_formulas_by_hand() -> None:
    points = neutral()
    face = face_of(points)
    assert ATTRIBUTES["smile"](face) == pytest.approx(0.8)
    assert ATTRIBUTES["mouth_open"](face) == 0
    assert ATTRIBUTES["eyes_open"](face) == pytest.approx(12 / 40)
    lifted, opened, closed = points.copy(), points.copy(), points.copy()
    lifted[[48, 54], 1] -= 8
    opened[[65, 66, 67], 1] += 20
    closed[[37, 38, 40, 41, 43, 44, 46, 47], 1] = 150
    assert ATTRIBUTES["smile"](face_of(lifted)) == pytest.approx(0.8 + 2 * 8 / 80)
    assert ATTRIBUTES["mouth_open"](face_of(opened)) == pytest.approx(0.2)
    assert ATTRIBUTES["eyes_open"](face_of(closed)) == 0


def test_expressions_ignore_size_and_roll() -> None:
    points = neutral()
    points[[48, 54], 1] -= 5
    angle = np.radians(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = face_of(3 * points @ turn.T + 40)
    for name in ("smile", "mouth_open", "eyes_open"):
        assert ATTRIBUTES[name](moved) == pytest.approx(ATTRIBUTES[name](face_of(points)))


def test_only_what_is_asked_for(assets: Path, astronaut: Image.Image) -> None:
    assert list(AttributeScorer(assets, ["yaw", "smile"]).score([astronaut])[0]) == ["yaw", "smile"]
    with pytest.raises(UnknownNameError, match="smile"):
        AttributeScorer(assets, ["smil"])


def test_damaged_assets(assets: Path, tmp_path: Path) -> None:
    for name in ("shape_predictor_68_face_landmarks.dat", "gender-v1.onnx", "age-v1.onnx", MANIFEST_FILE, PARSER_FILE):
        (tmp_path / name).symlink_to(assets / name)
    (tmp_path / MANIFEST_FILE).unlink()
    with pytest.raises(AssetError, match=MANIFEST_FILE):
        AttributeScorer(tmp_path)
    (tmp_path / MANIFEST_FILE).write_text("{")
    with pytest.raises(AssetError, match="not valid JSON"):
        AttributeScorer(tmp_path)
    (tmp_path / MANIFEST_FILE).write_text(json.dumps({"models": {}}))
    with pytest.raises(AssetError, match="fetch again"):
        AttributeScorer(tmp_path)
    shutil.copy(assets / MANIFEST_FILE, tmp_path / MANIFEST_FILE)
    (tmp_path / "age-v1.onnx").unlink()
    (tmp_path / "age-v1.onnx").write_bytes(b"broken")
    with pytest.raises(AssetError, match=r"age-v1\.onnx"):
        AttributeScorer(tmp_path)


class FakeParser:
    """Labels that a test draws, whatever the picture."""

    def __init__(self, **classes: slice) -> None:
        self.drawn = np.zeros((512, 512), np.uint8)
        for name, rows in classes.items():
            self.drawn[rows] = CLASSES.index(name)

    def labels(self, image: Image.Image) -> np.ndarray:
        assert image.size == (512, 512)
        return self.drawn


def parsed_face(**classes: slice) -> Face:
    points = neutral()
    points[17:27, 1] = 130  # brows: row 218 of the crop
    return Face(Image.new("RGB", (400, 400)), points, {"parser": FakeParser(**classes)})


def test_parts_by_hand() -> None:
    """Rows of the crop as stripes: areas and lines are then counted easily."""
    eyes = parsed_face().parts[1][36:48, 1].mean()  # the crop's row at which the eyes are
    assert 200 < eyes < 300
    face = parsed_face(hair=slice(0, 100), skin=slice(100, 300), glasses=slice(300, 340))
    assert ATTRIBUTES["glasses"](face) == pytest.approx(40 / 240)
    assert ATTRIBUTES["hat"](face) == 0 and ATTRIBUTES["hair_length"](face) == 0
    assert ATTRIBUTES["bald"](face) == pytest.approx(118 / 218)
    long = parsed_face(skin=slice(0, 256), hair=slice(256, 512))
    assert ATTRIBUTES["hair_length"](long) == pytest.approx((512 - max(256, round(eyes))) / 256)
    assert ATTRIBUTES["bald"](long) == 1
    hatted = parsed_face(hat=slice(0, 100), skin=slice(100, 400))
    assert ATTRIBUTES["hat"](hatted) == pytest.approx(0.25) and ATTRIBUTES["bald"](hatted) is None
    assert {ATTRIBUTES[name](parsed_face()) for name in ("glasses", "hat", "hair_length", "bald")} == {None}


def test_a_missing_network_is_named_with_its_remedy(assets: Path, tmp_path: Path) -> None:
    (tmp_path / "shape_predictor_68_face_landmarks.dat").symlink_to(assets / "shape_predictor_68_face_landmarks.dat")
    AttributeScorer(tmp_path, ["yaw", "happy"])  # nothing else is needed for these
    with pytest.raises(AssetError, match=rf"{PARSER_FILE} is missing; run `ganvert fetch`"):
        AttributeScorer(tmp_path, ["glasses"])
