"""Whole folders to rows, whatever lies in them."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from ganvert import tables
from ganvert.base.errors import ParamsError, UnknownNameError
from ganvert.editing.paste import PasteOptions, paste_edit
from ganvert.faces import open_photo
from ganvert.faces.detect import FaceDetector, Found
from ganvert.faces.listing import find_photos
from ganvert.faces.pipeline import AlignOptions, align_photo, align_photos
from ganvert.images import from_png


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    face = Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB").crop((80, 0, 380, 300))
    face.save(tmp_path / "b.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "b.png").read_bytes())
    Image.new("RGB", (90, 80), "grey").save(tmp_path / "nobody.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    Image.new("L", (2000, 2000)).save(tmp_path / "large.png")
    (tmp_path / "sub").mkdir()
    two = Image.new("RGB", (620, 300))
    two.paste(face, (0, 0))
    two.paste(face.resize((200, 200)), (400, 50))
    two.save(tmp_path / "sub" / "two.png")
    return tmp_path


def test_every_photo_becomes_a_row(folder: Path, detector: FaceDetector, caplog: pytest.LogCaptureFixture) -> None:
    options = AlignOptions(resolution=64, faces="all", max_pixels=1_000_000, upsample=0)
    with caplog.at_level(logging.INFO, "ganvert"):
        photos, aligned = align_photos(find_photos([folder]), folder, options, detector)
    status = {row["path"]: row["status"] for row in photos}
    assert status == {
        "b.png": "ok",
        "broken.jpg": "unreadable",
        "large.png": "too_large",
        "nobody.png": "no_face",
        "sub/two.png": "ok",
    }
    assert "copy.png: same bytes as b.png" in caplog.text
    assert all((row["reason"] == "") == (row["status"] == "ok") for row in photos)
    assert [(row["path"], row["face"]) for row in aligned] == [("b.png", 0), ("sub/two.png", 0), ("sub/two.png", 1)]
    assert all(row["image_id"] == f"{row['photo_id'][:16]}-{row['face']}" for row in aligned)
    assert all(from_png(row["crop"]).size == (64, 64) for row in aligned)

    tables.write(folder / "photos.parquet", tables.PHOTOS, photos)
    tables.write(folder / "aligned.parquet", tables.ALIGNED, aligned)
    stored = tables.read(folder / "aligned.parquet", tables.ALIGNED)
    np.testing.assert_array_equal(tables.array(stored, "quad")[0].reshape(4, 2), aligned[0]["quad"])
    assert tables.read(folder / "photos.parquet", tables.PHOTOS).num_rows == 5


def test_largest_face_only_and_faces_counted(folder: Path, detector: FaceDetector) -> None:
    options = AlignOptions(resolution=32, upsample=0)
    photos, aligned = align_photos([folder / "sub" / "two.png"], folder, options, detector)
    assert photos[0]["faces"] == 2 and len(aligned) == 1
    assert aligned[0]["landmarks"][:, 0].max() < 300  # the larger one is on the left


def test_a_face_that_cannot_be_cut_leaves_the_others(folder: Path, detector: FaceDetector) -> None:
    class Far:
        """Says of every second face that it is far away."""

        def __init__(self, every: int) -> None:
            self.every = every

        def detect_turned(self, image: Image.Image, upsample: int) -> Found:
            found = detector.detect_turned(image, upsample)
            faces = [face + 9000 * (i % self.every == self.every - 1) for i, face in enumerate(found.faces)]
            return dataclasses.replace(found, faces=faces)

    options = AlignOptions(resolution=64, faces="all", upsample=0)
    data = (folder / "sub" / "two.png").read_bytes()
    row, crops = align_photo(data, "two.png", options, Far(2))  # type: ignore[arg-type]
    assert [crop["face"] for crop in crops] == [0] and row["faces"] == 2
    assert row["status"] == "ok" and row["reason"].startswith("two.png: face 1: the face's square")
    row, crops = align_photo(data, "two.png", options, Far(1))  # type: ignore[arg-type]
    assert not crops and row["status"] == "unreadable"
    assert "two.png: face 0: the face's square" in row["reason"] and "two.png: face 1" in row["reason"]


def test_centre_recipe_asks_for_no_face(folder: Path, detector: FaceDetector) -> None:
    options = AlignOptions(recipe="center", resolution=16)
    photos, aligned = align_photos([folder / "nobody.png"], folder, options, detector)
    assert photos[0]["status"] == "ok" and photos[0]["faces"] is None
    assert aligned[0]["landmarks"] is None


def test_vanished_file_is_a_row(tmp_path: Path, detector: FaceDetector) -> None:
    photos, aligned = align_photos([tmp_path / "gone.png"], tmp_path, AlignOptions(), detector)
    assert photos[0]["status"] == "unreadable" and "gone.png" in photos[0]["reason"] and aligned == []


def test_one_photo_by_its_bytes(folder: Path, detector: FaceDetector) -> None:
    options = AlignOptions(resolution=32, upsample=0, max_pixels=1_000_000)
    for path in find_photos([folder]):
        (photo,), crops = align_photos([path], folder, options, detector)
        row, found = align_photo(path.read_bytes(), photo["path"], options, detector)
        assert row == photo and [crop["crop"] for crop in found] == [crop["crop"] for crop in crops]
    row, found = align_photo(b"", "f.zip!empty.png", options, detector)
    assert (row["status"], row["path"], found) == ("unreadable", "f.zip!empty.png", [])
    assert row["photo_id"] == hashlib.sha256(b"").hexdigest() and row["reason"].startswith("f.zip!empty.png: ")


def test_what_a_photo_needs(folder: Path, detector: FaceDetector) -> None:
    with pytest.raises(ParamsError, match="resolution"):
        align_photo(b"", "a", AlignOptions(resolution=None), detector)
    with pytest.raises(ParamsError, match="face detector"):
        align_photos([], folder, AlignOptions(), None)


def test_options_refuse_nonsense() -> None:
    for bad in ({"resolution": 0}, {"upsample": 4}, {"max_pixels": 0}):
        with pytest.raises(ParamsError, match=next(iter(bad))):
            AlignOptions(**bad)
    with pytest.raises(UnknownNameError, match="ffhq"):
        AlignOptions(recipe="ffqh")


CASES = Path(__file__).parents[2] / "cases"


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_photographs_that_lie_are_cut_upright(tmp_path: Path, detector: FaceDetector, degrees: int) -> None:
    with Image.open(CASES / "ref_rgb.png") as file:
        upright = file.convert("RGB")
    upright.save(tmp_path / "upright.png")
    upright.rotate(degrees, expand=True).save(tmp_path / "a.png")  # anticlockwise: `degrees` clockwise sets it right
    options = AlignOptions(resolution=128)
    (row,), (crop,) = align_photos([tmp_path / "a.png"], tmp_path, options, detector)
    _, (wanted,) = align_photos([tmp_path / "upright.png"], tmp_path, options, detector)
    difference = np.abs(np.asarray(from_png(crop["crop"]), float) - np.asarray(from_png(wanted["crop"]), float))
    assert difference.mean() < 3  # the same crop, sampled from turned pixels
    assert row["status"] == "ok" and row["faces"] == 1 and (row["reason"] == "") == (degrees == 0)
    if degrees:
        side = {90: "lies on its left side", 180: "stands on its head", 270: "lies on its right side"}[degrees]
        assert row["reason"] == f"a.png: {side}; its faces were cut upright"


def test_the_case_that_lies_on_its_side(detector: FaceDetector) -> None:
    (row,), (crop,) = align_photos([CASES / "turned90.png"], CASES, AlignOptions(resolution=128), detector)
    _, (wanted,) = align_photos([CASES / "ref_rgb.png"], CASES, AlignOptions(resolution=128), detector)
    difference = np.abs(np.asarray(from_png(crop["crop"]), float) - np.asarray(from_png(wanted["crop"]), float))
    assert difference.mean() < 3 and "side" in row["reason"]


def test_an_edit_of_a_photograph_that_lies_goes_where_its_face_is(tmp_path: Path, detector: FaceDetector) -> None:
    photo = open_photo(CASES / "turned90.png")
    _, (crop,) = align_photos([CASES / "turned90.png"], CASES, AlignOptions(resolution=256), detector)
    picture = from_png(crop["crop"])
    pasted = paste_edit(
        photo, picture, picture, np.array(crop["quad"]).reshape(4, 2), PasteOptions(mode="replace")
    ).image
    assert np.abs(np.asarray(pasted, float) - np.asarray(photo.image, float)).mean() < 2
