"""Tables are checked when they are written and again when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ganvert import tables
from ganvert.base.errors import TableError
from ganvert.tables import pages, reader, schemas, writer

SCORES = tables.SCORES


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
        "version": "2",
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
    tables.write(path, tables.EDIT_SCORES, [])
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
    with pytest.raises(TableError, match="column 'v': wanted a vector in every row, 1 rows have none"):
        tables.array(pa.table({"v": pa.array([[1.0], None], pa.list_(pa.float32(), 1))}), "v")
    assert data.column("age").to_pylist() == [None, 30.5]
    with pytest.raises(TableError, match="does not fit"):
        tables.write(tmp_path / "bad.parquet", table, [{**rows[0], "z": z[0, :2]}])


def test_every_table_has_its_key_among_its_columns() -> None:
    codes = tables.codes_table({"ws": (16, 512), "noise_00": (1, 4, 4)})
    assert codes.schema().field("noise_00").type.list_size == 16
    fixed = [value for value in vars(schemas).values() if isinstance(value, tables.Table)]
    assert fixed
    assert len({table.name for table in fixed}) == len(fixed)
    for table in (*fixed, codes, tables.samples_table(2, 2, [])):
        names = [field.name for field in table.columns]
        assert len(set(names)) == len(names)
        assert set(table.key) <= set(names)
        assert not any(field.nullable for field in table.columns if field.name in table.key)


# --- writing in portions, reading in pieces

WIDE = tables.codes_table({"ws": (8, 1024), "pad.b4.conv": (3,)})
GROUP = tables.group_rows(WIDE.schema())


def code(i: int) -> dict[str, Any]:
    """A row with every kind of column; vectors with nan, a null and a negative zero among them."""
    source = np.random.default_rng(i)
    texts = {name: f"{name} {i % 3}" for name in ("space", "status", "reason", "generator", "encoder", "config")}
    trace = source.random(i % 4, np.float32)
    ws = source.standard_normal((8, 1024), np.float32)
    ws[0, 0], ws[0, 1] = np.nan, -0.0
    return texts | {
        "image_id": f"{i:04}-0", "method": "m", "steps": len(trace), "best_step": 0, "seed": i,
        "tuned": None if i % 2 else "file", "trace": trace, "ws": ws if i % 5 else None,
        "pad.b4.conv": np.arange(3, dtype=np.float32),
    }  # fmt: skip


@pytest.fixture(scope="module")
def codes() -> list[dict[str, Any]]:
    return [code(i) for i in range(2 * GROUP + 7)]


@pytest.fixture(scope="module")
def whole(codes: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "codes.parquet"
    tables.write(path, WIDE, codes, {"made": "here"})
    return path


def test_row_groups_follow_from_the_schema(whole: Path) -> None:
    assert GROUP == (16 << 20) // (4 * (8 * 1024 + 3))
    metadata = pq.read_metadata(whole)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [GROUP, GROUP, 7]
    assert tables.group_rows(tables.codes_table({"f": (512, 256, 256)}).schema()) == 1
    assert tables.group_rows(SCORES.schema()) == 4096
    assert tables.group_rows(tables.EDITS.schema()) == 8  # two columns of pictures


def by_rows(out: tables.Writer, rows: list[dict[str, Any]], folder: Path) -> None:
    for row in rows:
        out.add([row])


def by_portions(out: tables.Writer, rows: list[dict[str, Any]], folder: Path) -> None:
    out.add(row for row in rows[: GROUP + 1])
    out.add([])
    out.add(rows[GROUP + 1 :])


def by_lists(out: tables.Writer, rows: list[dict[str, Any]], folder: Path) -> None:
    out.add({k: v.reshape(-1).tolist() if isinstance(v, np.ndarray) else v for k, v in row.items()} for row in rows)


def by_shards(out: tables.Writer, rows: list[dict[str, Any]], folder: Path) -> None:
    """Stored elsewhere with other settings and metadata, read back in other pieces, cut again."""
    for n, first in enumerate(range(0, len(rows), 300)):
        path = folder / f"{n}.parquet"
        tables.write(folder / "own.parquet", WIDE, rows[first : first + 300], {"shard": str(n)})
        pq.write_table(tables.read(folder / "own.parquet", "codes"), path, compression="lz4", row_group_size=70)
        shard = pq.read_table(path, memory_map=True)
        assert shard.schema.metadata[b"shard"] == str(n).encode()
        out.add_table(shard.slice(0, 11))
        out.add_table(shard.slice(11).replace_schema_metadata(None))


@pytest.mark.parametrize("add", [by_rows, by_portions, by_lists, by_shards])
def test_equal_rows_make_equal_bytes_however_they_come(
    add: Any, codes: list[dict[str, Any]], whole: Path, tmp_path: Path
) -> None:
    with tables.Writer(tmp_path / "other.parquet", WIDE, {"made": "here"}) as out:
        add(out, codes, tmp_path)
    assert (tmp_path / "other.parquet").read_bytes() == whole.read_bytes()


def test_what_is_read_is_what_was_written(codes: list[dict[str, Any]], whole: Path) -> None:
    stored = tables.read(whole, "codes").to_pylist()
    assert len(stored) == len(codes) == tables.count(whole, "codes")
    for row, read in zip(codes, stored, strict=True):
        for name, value in row.items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(np.array(read[name], np.float32), value.reshape(-1))
            else:
                assert read[name] == value
    assert np.signbit(stored[1]["ws"][1])


def content(data: pa.Table) -> list[Any]:
    """What can be compared: nan is nan."""
    columns = [data.column(name).combine_chunks() for name in data.column_names]
    return [
        (column.is_null().to_pylist(), column.flatten().to_numpy().tobytes())
        if pa.types.is_fixed_size_list(column.type)
        else column.to_pylist()
        for column in columns
    ]


def test_pieces_are_the_rows_in_order(whole: Path, tmp_path: Path) -> None:
    columns = ["image_id", "pad.b4.conv", "ws"]
    data = tables.read(whole, "codes", columns)
    assert data.column_names == columns
    pieces = list(tables.batches(whole, "codes", columns, 100))
    assert max(map(len, pieces)) == 100
    assert content(pa.Table.from_batches(pieces)) == content(data)
    ids = data.column("image_id").to_pylist()
    assert [row["image_id"] for row in tables.rows(whole, "codes", ["image_id"])] == ids
    assert next(iter(tables.rows(whole, "codes", ["image_id"]))) == {"image_id": ids[0]}  # and the rest is not read
    # Tables of other writers, all rows in one group, are not taken into memory at once but read all the same.
    pq.write_table(tables.read(whole, "codes"), tmp_path / "one.parquet", row_group_size=10**6)
    again = list(tables.batches(tmp_path / "one.parquet", "codes", columns, 100))
    assert max(map(len, again)) == 100
    assert content(pa.Table.from_batches(again)) == content(data)
    tables.write(tmp_path / "none.parquet", WIDE, [])
    assert list(tables.batches(tmp_path / "none.parquet", "codes")) == []


def test_a_table_replaced_while_it_is_read(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "codes.parquet"
    path.write_bytes(whole.read_bytes())
    pieces = tables.rows(path, "codes", ["image_id"])
    first = next(pieces)
    tables.write(path, WIDE, [code(1)])
    assert [first, *pieces] == list(tables.rows(whole, "codes", ["image_id"]))


def test_lookup(whole: Path) -> None:
    with tables.Lookup(whole, "codes", "image_id", ["seed", "trace"]) as lookup:
        assert len(lookup) == 2 * GROUP + 7
        for i in (0, 2 * GROUP + 6, 3, GROUP, GROUP + 2):
            row = lookup[f"{i:04}-0"]
            assert row["seed"] == i
            assert len(row["trace"]) == i % 4
            assert set(row) == {"seed", "trace"}
        with pytest.raises(TableError, match=r"there is no row 'x'; the tables are of different runs"):
            lookup["x"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.drop(["seed"]), "wants image_id"),
        (lambda data: data.append_column("more", data["seed"]), "wants image_id"),
        (
            lambda data: data.set_column(7, "seed", data["seed"].cast(pa.int32())),
            r"seed \(int64\).*got.*seed \(int32\)",
        ),
        (
            lambda data: data.set_column(1, "method", pa.array([None] * 3, pa.string())),
            "'method' of 'codes' may not be",
        ),
    ],
)
def test_arrow_tables_that_do_not_fit(change: Any, message: str, whole: Path, tmp_path: Path) -> None:
    data = change(tables.read(whole, "codes").slice(0, 3))
    with pytest.raises(TableError, match=message), tables.Writer(tmp_path / "a.parquet", WIDE) as out:
        out.add_table(data)
    assert list(tmp_path.iterdir()) == []


def test_keys_are_compared_across_row_groups(codes: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "codes.parquet"
    with pytest.raises(TableError, match=r"key image_id,method is not unique in 'codes': \('0003-0', 'm'\)"):
        tables.write(path, WIDE, [*codes[: GROUP + 5], codes[3]])
    edit = {"image_id": "a", "method": "w", "edit": "smile", "direction": "smile", "reference": ""}
    edit |= {"metric": "age", "value": 1.0, "status": "ok"}
    # -1.0 and -2.0 have one and the same hash in Python.
    tables.write(path, tables.EDIT_SCORES, [edit | {"amount": amount} for amount in (-1.0, -2.0)])
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_the_block_leaves_the_old_table(codes: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "codes.parquet"
    tables.write(path, WIDE, codes[:2])
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="somewhere else"), tables.Writer(path, WIDE) as out:
        out.add(codes[: GROUP + 1])
        raise RuntimeError("somewhere else")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_row_group_is_refused(whole: Path, tmp_path: Path) -> None:
    path, data = tmp_path / "codes.parquet", bytearray(whole.read_bytes())
    data[4:200] = bytes(196)  # where the first page of the first column begins
    path.write_bytes(data)
    with pytest.raises(TableError, match=r"codes.parquet: damaged: .* make it again"):
        list(tables.rows(path, "codes", ["image_id"]))
    with pytest.raises(TableError, match=r"codes.parquet: damaged: .* make it again"):
        tables.read(path, "codes")
    data = bytearray(whole.read_bytes())
    column = pq.read_metadata(whole).row_group(0).column(pq.read_schema(whole).get_field_index("pad.b4.conv"))
    assert column.path_in_schema == "pad.b4.conv.list.element"
    data[column.data_page_offset + 1 : column.data_page_offset + 64] = b"\xff" * 63  # lengths without an end
    path.write_bytes(data)
    with pytest.raises(TableError, match=r"codes.parquet: damaged: .* make it again"):
        list(tables.batches(path, "codes", ["pad.b4.conv"]))


def plain(path: Path) -> list[bool]:
    """Per row group, whether the vectors `ws` are taken straight from the file."""
    with reader.open_table(path, "codes") as (file, source):
        i = file.schema_arrow.get_field_index("ws")
        kind = file.schema_arrow.field(i).type
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        arrays = [pages.plain_vectors(source, group.column(i), kind, group.num_rows) for group in groups]
        return [array is not None for array in arrays]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        ({"data_page_size": 1 << 40}, True),
        ({"data_page_version": "2.0"}, False),
        ({"data_page_size": 1 << 16}, False),  # several pages
        ({"compression": "zstd"}, False),
        ({"use_dictionary": True}, False),
        ({"column_encoding": {"ws.list.element": "BYTE_STREAM_SPLIT"}}, False),
        ({"write_page_checksum": True}, False),
        ({"write_statistics": True}, None),
    ],
)
@pytest.mark.parametrize("nulls", [0, 1])
def test_vectors_are_right_however_they_are_stored(
    settings: dict[str, Any],
    expected: bool | None,
    nulls: int,
    codes: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against Arrow's own reader."""
    ours = writer.storage_options
    monkeypatch.setattr(writer, "storage_options", lambda schema: ours(schema) | settings)
    rows = [row | {"ws": codes[1]["ws"] if row["ws"] is None else row["ws"]} for row in codes[: GROUP + 9]]
    for i in range(nulls):
        rows[i]["ws"] = None
    path = tmp_path / "codes.parquet"
    tables.write(path, WIDE, rows)
    assert content(tables.read(path, "codes")) == content(pq.read_table(path))
    if expected is not None:
        assert plain(path) == [expected and not nulls, expected]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_small_vectors(dtype: str, tmp_path: Path) -> None:
    for size in (1, 2, 3):
        table = tables.codes_table({"ws": (size,)}, dtype)
        values = np.arange(5000 * size).reshape(5000, size).astype(dtype)
        row = {name: value for name, value in code(1).items() if name != "pad.b4.conv"}
        rows = (row | {"image_id": str(i), "ws": value} for i, value in enumerate(values))
        tables.write(tmp_path / "small", table, rows)
        data = tables.read(tmp_path / "small", "codes")
        np.testing.assert_array_equal(tables.array(data, "ws"), values)
        assert plain(tmp_path / "small") == [size > 1] * 2


def test_columns_that_are_not_there(whole: Path) -> None:
    for read in (tables.read, lambda *arguments: next(tables.batches(*arguments))):
        with pytest.raises(TableError, match="wanted the column 'z', there are image_id"):
            read(whole, "codes", ["image_id", "z"])
    with pytest.raises(TableError, match="wanted the column 'nothing'"):
        tables.Lookup(whole, "codes", "nothing", ["method"])


@pytest.mark.parametrize("count", [1, 20])  # 20 rows of pictures are more than a row group of ours
def test_text_that_is_not_utf8_is_refused_however_it_is_read(count: int, tmp_path: Path) -> None:
    path, table = tmp_path / "elsewhere.parquet", tables.RECONSTRUCTIONS
    rows = [{"image_id": f"{i}", "method": "wplus_adam", "png": b""} for i in range(count)]
    data = pa.Table.from_pylist(rows, table.schema())
    pq.write_table(data, path, compression="none", use_dictionary=False, write_statistics=False)
    path.write_bytes(path.read_bytes().replace(b"wplus_adam", b"wplus\xff\xff\xff\xff\xff"))
    for read in (
        lambda: tables.read(path, table),
        lambda: list(tables.batches(path, table)),
        lambda: list(tables.rows(path, table, ["method"])),
        lambda: tables.Lookup(path, table, "image_id", ["method"])["0"],
    ):
        with pytest.raises(TableError, match=r"elsewhere.parquet: damaged: .*UTF8"):
            read()
