"""Opening tables elsewhere: the code of docs/tables.md is run on tables that ganvert wrote."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganvert import tables

ROOT = Path(__file__).parents[3]
SHAPE = (16, 512)
#: More than one row group.
COUNT = tables.group_rows(tables.codes_table({"ws": SHAPE}).schema()) + 3


def run(heading: str) -> dict[str, Any]:
    """Run the block of code under a line of docs/tables.md; return its variables."""
    text = (ROOT / "docs" / "tables.md").read_text()
    block = re.search(rf"\n{heading}:\n\n```text\n(.*?)```", text, re.DOTALL)
    assert block is not None
    variables: dict[str, Any] = {}
    exec(block[1], variables)
    return variables


def code_row(i: int, ws: np.ndarray, dtype: str) -> dict[str, Any]:
    texts = ("space", "reason", "generator", "encoder", "config")
    return dict.fromkeys(texts, "x") | {
        "image_id": f"{i:016x}-0", "method": "encoder_wplus", "status": "ok", "steps": 0, "best_step": 0, "seed": i,
        "tuned": None, "trace": np.empty(0, np.float32), "ws": ws.astype(dtype),
    }  # fmt: skip


@pytest.fixture(params=["float32", "float16"])
def ws(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Codes and scores at the paths of the pipeline; returns the stored codes [COUNT, 8192]."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).standard_normal((COUNT, SHAPE[0] * SHAPE[1])).astype(request.param)
    table = tables.codes_table({"ws": SHAPE}, request.param)
    codes = (code_row(i, line, request.param) for i, line in enumerate(values))
    tables.write(Path("data/codes/balanced.parquet"), table, codes)
    scores = [
        {"image_id": str(i), "method": "w", "metric": "mse_256", "value": [0.5, 1.0, None][i], "status": "ok"}
        for i in range(3)
    ]
    tables.write(Path("data/scores.parquet"), tables.SCORES, scores)
    photo = dict.fromkeys(tables.PHOTOS.schema().names) | {"photo_id": "a", "path": "a.jpg", "reason": ""}
    tables.write(Path("data/photos.parquet"), tables.PHOTOS, [photo | {"status": "ok"}])
    return values


@pytest.mark.slow
def test_polars(ws: np.ndarray) -> None:
    variables = run("Polars")
    assert variables["means"].rows() == [("w", "mse_256", 0.75)]
    assert variables["ws"].dtype == ws.dtype
    np.testing.assert_array_equal(variables["ws"], ws.reshape(-1, *SHAPE))
    assert variables["first"].height == 1
    np.testing.assert_array_equal(variables["first"]["ws"][0].to_numpy(), ws[0])


def test_duckdb(ws: np.ndarray) -> None:
    variables = run("DuckDB")
    assert variables["means"].fetchall() == [("w", "mse_256", 0.75, 2)]
    assert variables["statuses"].fetchall() == [("ok", 1)]
    assert variables["ws"].dtype == np.float32
    np.testing.assert_array_equal(variables["ws"], ws.astype(np.float32).reshape(-1, *SHAPE))
    norms = variables["norms"].fetchall()
    assert [name for name, _ in norms] == [f"{i:016x}-0" for i in range(COUNT)]
    np.testing.assert_allclose([norm for _, norm in norms], np.linalg.norm(ws.astype(np.float64), axis=1), rtol=1e-5)


def test_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    row: dict[str, Any] = {field.name: "x" for field in tables.EDITS.columns} | {
        "crop": b"PNG",
        "pasted": None,
        "percentile": None,
        "sigmas": None,
    }
    tables.write(Path("data/edits.parquet"), tables.EDITS, [row | {"amount": 1.0}])
    run("A picture out of a table")
    assert Path("edit.png").read_bytes() == b"PNG"
