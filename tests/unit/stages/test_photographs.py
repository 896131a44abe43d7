"""Photographs wherever they lie, through all stages: members of archives and tables, odd names and entries."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ganvert import tables
from ganvert.base.errors import PhotoError
from ganvert.directions import Direction, save_directions
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.images import from_png
from stages import align, edit, evaluate, invert, presets, report
from stages.inputs import find_images
from stages.photographs import Photographs

MSE = {"loss": "mse", "resolution": 64}
PRESET = {"inverter": "optimise", "space": "w", "init": "mean", "steps": 2, "lr": 0.2, "objective": [MSE]}
WIDTHS = {"set.zip!x/a.png": 120, "set.tar!b.png": 124, "set.parquet!c.png": 128, "data/photos/caf\\udce9.png": 132}


def photograph(width: int) -> bytes:
    waves = 127 + 90 * np.sin(np.indices((90, width)).sum(0) / (width - 110))[..., None] * [1, 0.5, -0.7]
    file = io.BytesIO()
    Image.fromarray(waves.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_photographs() -> None:
    """One photograph in each of four places, and beside the last one a link to nowhere and a pipe."""
    zipped, tarred, in_table, plain = map(photograph, WIDTHS.values())
    with zipfile.ZipFile("set.zip", "w") as archive:
        archive.writestr("x/a.png", zipped)
    with tarfile.open("set.tar", "w") as tar:
        info = tarfile.TarInfo("b.png")
        info.size = len(tarred)
        tar.addfile(info, io.BytesIO(tarred))
    pq.write_table(pa.table({"image": [in_table], "path": ["c.png"]}), "set.parquet")
    folder = Path("data/photos")
    folder.mkdir(parents=True)
    Path(os.fsdecode(b"data/photos/caf\xe9.png")).write_bytes(plain)
    (folder / "nowhere.png").symlink_to("gone.png")
    os.mkfifo(folder / "pipe.png")


@pytest.mark.slow
def test_every_stage_reads_photographs_as_align_does(
    tiny_generator: MobileStyleGAN,
    tiny_generator_file: Path,
    tmp_path: Path,
    write_params: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photographs()
    direction = Direction("ganspace_1", "w", "test", np.eye(16)[3], 1.0, 0, tiny_generator.num_ws)
    save_directions(Path("data/directions.parquet"), [direction], {"generator": tiny_generator.fingerprint()})
    path, inputs = str(tiny_generator_file), ["set.zip", "set.tar", "set.parquet", "data/photos"]
    write_params(
        generator={"path": path, "label": None},
        device="cpu",
        align={"recipe": "center", "photos": inputs, "resolution": None},
        train_encoder={"encoders": {}},
        invert={"methods": {"mine": path}, "options": {"mine": PRESET}},
        discover={"methods": {"ganspace": {"components": 2}}},
        edit={"method": "mine", "edits": {"it": {"direction": "ganspace_1", "amounts": [2], "pasted": [2]}}},
        evaluate={"metrics": ["mse_64"], "attributes": []},
    )
    monkeypatch.setattr(sys, "argv", ["invert", "mine"])
    for stage in (presets, align, invert, edit, evaluate, report):
        stage.main()

    photos = tables.read(align.PHOTOS, tables.PHOTOS)
    statuses = {row["path"]: row["status"] for row in photos.to_pylist()}
    bad = ("data/photos/nowhere.png", "data/photos/pipe.png")
    assert statuses == {**dict.fromkeys(WIDTHS, "ok"), **dict.fromkeys(bad, "unreadable")}
    names = {row["image_id"]: row["path"] for row in tables.rows(align.ALIGNED, tables.ALIGNED, ["image_id", "path"])}
    assert find_images(["a.png", "set.tar!b.png"]) == [
        image_id for name in ("set.zip!x/a.png", "set.tar!b.png") for image_id in names if names[image_id] == name
    ]
    edits = tables.read(edit.OUT, tables.EDITS).to_pylist()
    assert {names[row["image_id"]]: from_png(row["pasted"]).width for row in edits} == WIDTHS
    originals = report.originals(photos, inputs, 4096)
    assert [originals[row["photo_id"]].width for row in photos.to_pylist() if row["status"] == "ok"] == [
        WIDTHS[row["path"]] for row in photos.to_pylist() if row["status"] == "ok"
    ]
    page = report.OUT.read_text()
    for name in statuses:
        assert name.rpartition("/")[2] in page, name


def test_a_photograph_that_changed_is_not_taken_for_the_one_that_was_aligned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(photograph(120))
    with Photographs(["a.png"]) as before:
        photo_id = hashlib.sha256(photograph(120)).hexdigest()
        assert before.open(photo_id, "a.png", 10**6).size == (120, 90)
        Path("a.png").write_bytes(photograph(130))
        with pytest.raises(PhotoError, match="has changed since"):
            before.open(photo_id, "a.png", 10**6)
    with Photographs(["a.png"]) as after, pytest.raises(PhotoError, match="is not there any more, or has changed"):
        after.open(photo_id, "a.png", 10**6)
