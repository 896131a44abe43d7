"""What docs/tables.md says about opening tables elsewhere: its own lines are run, on tables that ganvert wrote."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

from ganvert import tables

ROOT = Path(__file__).parents[3]
SHAPE = (16, 512)
#: More than one row group.
COUNT = tables.group_rows(tables.codes_table({"ws": SHAPE}).schema()) + 3


def lines_of(language: str) -> list[str]:
    """The block of code under a heading line, statement by statement."""
    text = (ROOT / "docs" / "tables.md").read_text()
    block = re.search(rf"\n{language}:\n\n```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    lines = [line for line in block[1].splitlines() if line and not line.startswith("import")]
    return [re.sub(r"^\w+ = ", "", line) for line in lines]


def code_row(i: int, ws: np.ndarray, dtype: str) -> dict[str, Any]:
    names = ("space", "reason", "generator", "encoder", "config")
    return dict.fromkeys(names, "x") | {
        "image_id": f"{i:016x}-0", "method": "encoder_wplus", "status": "ok", "steps": 0, "best_step": 0, "seed": i,
        "tuned": None, "trace": np.empty(0, np.float32), "ws": ws.astype(dtype),
    }  # fmt: skip


@pytest.fixture(params=["float32", "float16"])
def ws(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Codes and scores in the places of the pipeline; [COUNT, 8192] as they are stored."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).standard_normal((COUNT, SHAPE[0] * SHAPE[1])).astype(request.param)
    table = tables.codes_table({"ws": SHAPE}, request.param)
    codes = (code_row(i, line, request.param) for i, line in enumerate(values))
    tables.write(Path("data/codes/encoder_wplus.parquet"), table, codes)
    scores = [
        {"image_id": str(i), "method": "w", "metric": "mse_256", "value": [0.5, 1.0, None][i], "status": "ok"}
        for i in range(3)
    ]
    tables.write(Path("data/scores.parquet"), tables.SCORES, scores)
    photo = dict.fromkeys(tables.PHOTOS.schema().names) | {"photo_id": "a", "path": "a.jpg", "reason": ""}
    tables.write(Path("data/photos.parquet"), tables.PHOTOS, [photo | {"status": "ok"}])
    return values


def test_polars(ws: np.ndarray) -> None:
    scores, codes, one = [eval(line, {"pl": pl}) for line in lines_of("Polars")]
    assert scores.rows() == [("w", "mse_256", 0.75)]
    assert codes.dtype == ws.dtype
    np.testing.assert_array_equal(codes, ws.reshape(-1, *SHAPE))
    assert one.height == 1
    np.testing.assert_array_equal(one["ws"][0].to_numpy(), ws[0])


def test_duckdb(ws: np.ndarray) -> None:
    scores, photos, codes, norms = [eval(line, {"duckdb": duckdb, "np": np}) for line in lines_of("DuckDB")]
    assert scores.fetchall() == [("w", "mse_256", 0.75, 2)]
    assert photos.fetchall() == [("ok", 1)]
    assert codes.dtype == np.float32
    np.testing.assert_array_equal(codes, ws.astype(np.float32).reshape(-1, *SHAPE))
    found = norms.fetchall()
    assert [name for name, _ in found] == [f"{i:016x}-0" for i in range(COUNT)]
    np.testing.assert_allclose([norm for _, norm in found], np.linalg.norm(ws.astype(np.float64), axis=1), rtol=1e-5)
