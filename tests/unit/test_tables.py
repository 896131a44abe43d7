"""Tables are checked when they are written and again when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ganvert import tables
from ganvert.errors import TableError

SCORES = tables.TABLES["scores"]


def row(**more: Any) -> dict[str, Any]:
    return {"image_id": "a", "method": "w", "metric": "mse_256", "value": 0.5, "status": "ok", **more}


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scores.parquet"
    rows = [row(), row(image_id="b", value=None, status="not_detected")]
    tables.write(path, SCORES, rows, {"made": "here", "facts": '{"a": [1, 2]}'})
    data = tables.read(path, SCORES)
    assert data.to_pylist() == rows
    assert tables.read(path, "scores").equals(data)
    facts = tables.metadata_of(data)
    assert facts == {
        "table": "scores",
        "version": "1",
        "key": "image_id,method,metric",
        "made": "here",
        "facts": {"a": [1, 2]},
    }


def test_equal_rows_make_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tables.write(tmp_path / name, SCORES, [row()])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{**row(), "more": 1}], "wants columns"),
        ([{"image_id": "a"}], "wants columns"),
        ([row(), row(value=0.7)], r"key image_id,method,metric is not unique.*\('a', 'w', 'mse_256'\)"),
        ([row(status=None)], "'status' of 'scores' may not be null"),
        ([row(value="high")], "a row does not fit table 'scores'"),
    ],
)
def test_rows_that_do_not_fit_leave_the_old_table(rows: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    tables.write(path, SCORES, [row()])
    before = path.read_bytes()
    with pytest.raises(TableError, match=message):
        tables.write(path, SCORES, rows)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_such_table(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    with pytest.raises(TableError, match="there is no such table; run `dvc repro`"):
        tables.read(path, SCORES)
    tables.write(path, SCORES, [row()])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TableError, match="not a readable Parquet file"):
        tables.read(path, SCORES)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(TableError, match="wanted table 'scores', got None"):
        tables.read(path, "scores")
    tables.write(path, tables.TABLES["edit_scores"], [])
    with pytest.raises(TableError, match="wanted table 'scores', got 'edit_scores'"):
        tables.read(path, SCORES)
    older = SCORES.schema().remove(4)
    pq.write_table(pa.Table.from_pylist([], schema=older), path)
    with pytest.raises(TableError, match="not the one this code writes"):
        tables.read(path, SCORES)


def test_vectors(tmp_path: Path) -> None:
    table = tables.samples_table(4, 3, ["age"])
    z, w = np.arange(8, dtype=np.float32).reshape(2, 4), np.arange(6, dtype=np.float32).reshape(2, 3)
    rows = [{"seed": i, "z": z[i], "w": w[i], "age": (None, 30.5)[i]} for i in range(2)]
    tables.write(tmp_path / "samples.parquet", table, rows)
    data = tables.read(tmp_path / "samples.parquet", "samples")
    assert np.array_equal(tables.array(data, "z"), z)
    assert np.array_equal(tables.array(data.slice(1), "w"), w[1:])
    assert tables.array(data.slice(0, 0), "w").shape == (0, 3)
    assert data.column("age").to_pylist() == [None, 30.5]
    with pytest.raises(TableError, match="does not fit"):
        tables.write(tmp_path / "bad.parquet", table, [{**rows[0], "z": z[0, :2]}])


def test_every_table_has_its_key_among_its_columns() -> None:
    codes = tables.codes_table({"ws": (16, 512), "noise_00": (1, 4, 4)})
    assert codes.schema().field("noise_00").type.list_size == 16
    for table in (*tables.TABLES.values(), codes, tables.samples_table(2, 2, [])):
        names = [field.name for field in table.columns]
        assert len(set(names)) == len(names)
        assert set(table.key) <= set(names)
        assert not any(field.nullable for field in table.columns if field.name in table.key)
