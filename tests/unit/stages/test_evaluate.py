"""The evaluate stage: which picture is compared with which crop, whatever the tables' order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from ganvert import tables
from ganvert.images import to_png
from ganvert.scoring.metrics.base import NamedMetric
from stages import evaluate

IDS = [f"{i:016}-0" for i in range(40)]  # more than two row groups of pictures


def picture(*seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def mse(a: Image.Image, b: Image.Image) -> float:
    """By the bytes, on [-1, 1]."""
    return float(np.square((np.asarray(a, np.float64) - np.asarray(b, np.float64)) / 127.5).mean())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_params: Any) -> Path:
    monkeypatch.chdir(tmp_path)
    method = "encoder_wplus"
    write_params(evaluate={"metrics": ["mse_16"], "attributes": []}, invert={"methods": {method: "w"}},
                 edit={"method": method})  # fmt: skip
    face = {"path": "x", "face": 0, "recipe": "center", "resolution": 16, "quad": np.zeros(8), "landmarks": None}
    aligned = [{**face, "image_id": name, "photo_id": name, "crop": to_png(picture(i))} for i, name in enumerate(IDS)]
    tables.write(Path("data/aligned.parquet"), tables.ALIGNED, aligned)
    shuffled = np.random.default_rng(0).permutation(len(IDS))
    drawn = [{"image_id": IDS[i], "method": method, "png": to_png(picture(i, 1))} for i in shuffled]
    path = Path("data/reconstructions/encoder_wplus.parquet")
    tables.write(path, tables.RECONSTRUCTIONS, drawn, {"image_channels": "3"})
    names = dict.fromkeys(("space", "status", "reason", "generator", "encoder", "config"), "x")
    numbers = {"steps": 1, "best_step": 0, "seed": 0, "tuned": None, "w": np.zeros(2, np.float32)}
    traces = [np.array(line, np.float32) for line in ([4, 3, 2], [4, np.nan, 2], [], [3])]
    codes = [
        names | numbers | {"image_id": name, "method": method, "trace": traces[i % 4]} for i, name in enumerate(IDS)
    ]
    tables.write(Path("data/codes/encoder_wplus.parquet"), tables.codes_table({"w": (2,)}), codes)
    edit = {
        "image_id": IDS[3],
        "method": method,
        "edit": "grin",
        "kind": "shift",
        "percentile": None,
        "sigmas": None,
        "direction": "smile",
    }
    edit |= {"reference": "", "amount": 1.0, "pasted": None, "region": None, "reason": ""}
    tables.write(Path("data/edits.parquet"), tables.EDITS, [edit | {"crop": to_png(picture(3))}])
    return tmp_path


def test_every_reconstruction_is_scored_against_its_own_crop(project: Path) -> None:
    Path("reports/metrics").mkdir(parents=True)
    Path("reports/metrics/left.json").write_text("{}")  # of a method that left params.yaml
    evaluate.main()
    scores = tables.read(Path("data/scores.parquet"), tables.SCORES).to_pylist()
    order = tables.read(Path("data/reconstructions/encoder_wplus.parquet"), tables.RECONSTRUCTIONS)["image_id"]
    assert [row["image_id"] for row in scores] == order.to_pylist()
    expected = {name: mse(picture(i), picture(i, 1)) for i, name in enumerate(IDS)}
    for row in scores:
        assert row["value"] == pytest.approx(expected[row["image_id"]], rel=1e-5)
    figures = json.loads(Path("reports/metrics.json").read_text())["encoder_wplus"]["mse_16"]
    assert figures["n"] == len(IDS)
    assert figures["mean"] == pytest.approx(np.mean(list(expected.values())), rel=1e-5)
    (means,) = Path("reports/metrics").iterdir()
    assert means.name == "encoder_wplus.json"
    assert json.loads(means.read_text()) == {"mse_16": round(figures["mean"], 4)}
    assert (
        tables.read(Path("data/edit_scores.parquet"), tables.EDIT_SCORES).num_rows == 0
    )  # nothing measures edits here
    assert Path("reports/plots/traces.png").stat().st_size > 5000


def test_the_unedited_reconstruction_is_amount_0_of_every_edit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an attribute is, its change is from what the code drew before the edit."""

    class Brightness:
        def __init__(self, folder: Path, attributes: Any) -> None:
            pass

        def score(self, pictures: list[Image.Image]) -> list[dict[str, float]]:
            return [{"smile": float(np.asarray(picture).mean())} for picture in pictures]

    monkeypatch.setattr(evaluate, "AttributeScorer", Brightness)
    shared = {
        "image_id": IDS[3],
        "method": "encoder_wplus",
        "kind": "shift",
        "percentile": None,
        "sigmas": None,
        "reference": "",
        "pasted": None,
    }
    shared |= {"region": "", "reason": ""}
    edits = [
        shared | {"edit": edit, "direction": edit, "amount": amount, "crop": to_png(picture(50, int(amount) + 9))}
        for edit, amounts in (("grin", (-1.0, 0.0, 1.0)), ("smile", (2.0,)))
        for amount in amounts
    ]
    tables.write(Path("data/edits.parquet"), tables.EDITS, edits)
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["evaluate"]["attributes"] = ["smile"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    evaluate.main()
    rows = tables.read(Path("data/edit_scores.parquet"), tables.EDIT_SCORES).to_pylist()
    assert [(row["edit"], row["amount"]) for row in rows] == [
        ("grin", 0), ("grin", -1), ("grin", 1), ("smile", 0), ("smile", 2)
    ]  # fmt: skip
    unedited = float(np.asarray(picture(3, 1)).mean())
    assert [row["value"] for row in rows if row["amount"] == 0] == [pytest.approx(unedited)] * 2
    assert rows[-1]["value"] == pytest.approx(float(np.asarray(picture(50, 11)).mean()))


def test_edits_of_a_grey_generator_are_compared_with_a_grey_photograph(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = NamedMetric("identity_toy", None, False, "not_detected", lambda a, b: (a - b).square().mean((1, 2, 3)))
    monkeypatch.setattr(evaluate, "available", lambda *_: ["identity_dlib"])
    monkeypatch.setattr(evaluate, "asset_metrics", lambda *_: [])
    monkeypatch.setattr(evaluate, "metric", lambda *_, **__: toy)
    path, grey = Path("data/reconstructions/encoder_wplus.parquet"), picture(3).convert("L").convert("RGB")
    rows = tables.read(path, tables.RECONSTRUCTIONS).to_pylist()
    tables.write(path, tables.RECONSTRUCTIONS, [row | {"png": to_png(grey)} for row in rows], {"image_channels": "1"})
    (edit,) = tables.read(Path("data/edits.parquet"), tables.EDITS).to_pylist()
    tables.write(Path("data/edits.parquet"), tables.EDITS, [edit | {"crop": to_png(grey)}])
    evaluate.main()
    rows = tables.read(Path("data/edit_scores.parquet"), tables.EDIT_SCORES).to_pylist()
    to_photo = {row["amount"]: row["value"] for row in rows if row["metric"] == "identity_photo_toy"}
    assert to_photo == {0.0: pytest.approx(0, abs=1e-4), 1.0: pytest.approx(0, abs=1e-4)}


def test_tables_of_different_runs_are_refused(project: Path) -> None:
    aligned = tables.read(Path("data/aligned.parquet"), tables.ALIGNED)
    with tables.Writer(Path("data/aligned.parquet"), tables.ALIGNED) as out:
        out.add_table(aligned.slice(1))
    with pytest.raises(SystemExit, match=f"aligned.parquet: there is no row '{IDS[0]}'; the tables are of different"):
        evaluate.main()
    assert not Path("data/scores.parquet").exists()


def test_edits_of_an_earlier_version_are_refused(project: Path) -> None:
    path = Path("data/edits.parquet")
    data = tables.read(path, tables.EDITS).drop(["edit", "kind", "reference"])
    pq.write_table(data.replace_schema_metadata({**data.schema.metadata, b"version": b"1"}), path)
    with pytest.raises(SystemExit, match=r"edits.parquet: wanted version 4 of table 'edits', got 1; run `dvc repro`"):
        evaluate.main()
