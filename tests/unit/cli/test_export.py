"""`ganvert export`: pictures out of tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ganvert import tables
from ganvert.base.files import OUTPUT_MARK
from ganvert.images import to_png

IDS = ["0" * 16 + "-0", "1" * 16 + "-0", "1" * 16 + "-1"]


def png(shade: int) -> bytes:
    return to_png(Image.new("RGB", (4, 4), (shade,) * 3))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables as the pipeline writes them, of a photograph of ann and one of two people."""
    monkeypatch.chdir(tmp_path)
    unknown = dict.fromkeys(("width", "height", "exif_orientation", "mode", "detector"))
    photos = [
        {"photo_id": IDS[0][:16] + 48 * "0", "path": "photos/ann.jpg", "status": "ok", "reason": "", "faces": 1},
        {"photo_id": IDS[1][:16] + 48 * "0", "path": "photos/two.jpg", "status": "ok", "reason": "", "faces": 2},
    ]
    tables.write(Path("data/photos.parquet"), tables.PHOTOS, [row | unknown for row in photos])
    edits = [
        {
            "image_id": image_id,
            "method": "w",
            "edit": edit,
            "kind": "shift",
            "percentile": None,
            "sigmas": None,
            "direction": "",
            "reference": reference,
        }
        | {"amount": amount, "crop": png(i), "pasted": png(100 + i) if amount > 0 else None}
        | {"region": "square", "reason": ""}
        for i, (image_id, edit, reference, amount) in enumerate(
            [
                (IDS[0], "smile", "", -2.0),
                (IDS[0], "smile", "", 2.0),
                (IDS[1], "blend", IDS[0], 1.0),
                (IDS[2], "a/b", "", -1.0),
            ]
        )
    ]
    tables.write(Path("data/edits.parquet"), tables.EDITS, edits)
    drawn = [{"image_id": image_id, "method": "w", "png": png(i)} for i, image_id in enumerate(IDS)]
    tables.write(Path("data/reconstructions/w.parquet"), tables.RECONSTRUCTIONS, drawn)
    return tmp_path


def files_in(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.name != OUTPUT_MARK}


def test_edits_are_named_after_photograph_edit_and_amount(run: Any, project: Path) -> None:
    done = run("export", "data/edits.parquet", "--out", "edits")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "6 pictures are in edits"
    assert files_in("edits") == {
        "ann_smile-2.png": png(0),
        "ann_smile+2.png": png(1),
        "ann_smile+2_pasted.png": png(101),
        "two_blend_ann+1.png": png(2),
        "two_blend_ann+1_pasted.png": png(102),
        "two face 2_a_b-1.png": png(3),
    }
    done = run("export", "data/reconstructions/w.parquet", "--image", "ann", "--out", "one")
    assert done.stdout.splitlines()[-1] == "1 picture is in one"
    assert run("export", "data/edits.parquet", "--image", "two", "--out", "some").exit_code == 0
    assert set(files_in("some")) == {"two_blend_ann+1.png", "two_blend_ann+1_pasted.png"}


def test_reconstructions_and_crops(run: Any, project: Path) -> None:
    assert run("export", "data/reconstructions/w.parquet", "--out", "drawn").exit_code == 0
    assert files_in("drawn") == {"ann_w.png": png(0), "two_w.png": png(1), "two face 2_w.png": png(2)}
    rows = [
        {"image_id": IDS[0], "photo_id": "0" * 64, "path": "x/ann.jpg", "face": 0, "recipe": "center", "resolution": 4}
        | {"quad": [0.0] * 8, "landmarks": None, "crop": png(7)}
    ]
    tables.write(Path("elsewhere/deep/aligned.parquet"), tables.ALIGNED, rows)
    assert run("export", "elsewhere/deep/aligned.parquet", "--out", "crops").exit_code == 0
    assert files_in("crops") == {"ann_crop.png": png(7)}


def test_names_without_a_table_of_photographs(run: Any, project: Path) -> None:
    Path("data/photos.parquet").unlink()
    assert run("export", "data/reconstructions/w.parquet", "--out", "drawn").exit_code == 0
    assert set(files_in("drawn")) == {f"{image_id}_w.png" for image_id in IDS}


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("data/photos.parquet",), "unknown data/photos.parquet: table with pictures 'photos'", 2),
        (("none.parquet",), "no such file", 2),
        (("text.parquet",), "not a readable Parquet file", 1),
        (("data/edits.parquet", "--image", "bob"), "has no pictures of bob", 2),
        (("data/edits.parquet", "--image", "ann", "--image", "bob"), "has no pictures of bob", 2),
    ],
)
def test_mistakes(run: Any, project: Path, arguments: tuple[str, ...], says: str, code: int) -> None:
    Path("text.parquet").write_text("no table")
    done = run("export", *arguments, "--out", "x")
    assert done.exit_code == code, done.output
    assert says in " ".join(done.output.split())
    assert not Path("x").exists()
