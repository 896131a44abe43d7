"""Samples are scored by face models, by tables and by users' own functions."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ganvert import faces, tables
from ganvert.base.errors import InputError, ParamsError, TableError, UnknownNameError
from ganvert.faces import ATTRIBUTES
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.sampling import (
    PictureStore,
    SampleOptions,
    codes_of,
    load_callable,
    read_score_table,
    sample,
    write_samples,
)


def brightness(picture: Image.Image) -> float:
    return float(np.asarray(picture).mean())


class FakeScorer:
    """Every attribute is the picture's brightness; no face on the darkest."""

    scored = 0

    def __init__(self, folder: Path, names: Sequence[str] = tuple(ATTRIBUTES)) -> None:
        del folder
        self.names = names

    def score(self, pictures: Sequence[Image.Image]) -> list[dict[str, float | None]]:
        FakeScorer.scored += len(pictures)
        values = [brightness(picture) for picture in pictures]
        return [dict.fromkeys(self.names, value if value > 60 else None) for value in values]


@pytest.fixture(autouse=True)
def fake_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeScorer.scored = 0
    monkeypatch.setattr(faces, "AttributeScorer", FakeScorer)


def known_table(path: Path, generator: MobileStyleGAN, seeds: Sequence[int], shift: float = 0.0) -> str:
    """Write the scores of FakeScorer of `seeds`, as a table made earlier; `shift` makes it wrong."""
    columns: dict[str, Any] = {"seed": pa.array(seeds, pa.int32())}
    store = PictureStore(generator, path.parent / "known", 64, 64)
    store.fill(seeds)
    rows = FakeScorer(path).score([store.picture(seed) for seed in seeds])
    for name in ATTRIBUTES:
        columns[name] = pa.array([None if row[name] is None else row[name] + shift for row in rows], pa.float32())
    pq.write_table(pa.table(columns).replace_schema_metadata({"generator": generator.fingerprint()}), path)
    FakeScorer.scored = 0
    return str(path)


def test_sample_without_a_known_table(tiny_generator: MobileStyleGAN, tmp_path: Path, drawn: list[int]) -> None:
    got = sample(tiny_generator, SampleOptions(count=6, px=64, sheet=2), tmp_path, tmp_path / "work")
    assert drawn == [0, 1, 2, 3, 4, 5]
    assert (got.drawn, FakeScorer.scored, len(got.pictures), len(got.captions)) == (6, 6, 2, 2)
    assert got.attributes == list(ATTRIBUTES)
    write_samples(tmp_path / "samples.parquet", tiny_generator, got)
    data = tables.read(tmp_path / "samples.parquet", "samples")
    assert data.column("seed").to_pylist() == [0, 1, 2, 3, 4, 5]
    assert tables.metadata_of(data)["generator"] == tiny_generator.fingerprint()
    z, w = codes_of(tiny_generator, range(6))
    assert np.array_equal(tables.array(data, "z"), z.numpy())
    assert np.array_equal(tables.array(data, "w"), w.numpy())


def test_covered_seeds_are_not_drawn(tiny_generator: MobileStyleGAN, tmp_path: Path, drawn: list[int]) -> None:
    known = known_table(tmp_path / "known.parquet", tiny_generator, range(2, 30))
    drawn.clear()
    options = SampleOptions(count=32, px=64, known=known, check=2, sheet=1)
    got = sample(tiny_generator, options, tmp_path, tmp_path / "work")
    assert drawn == [0, 1, 2, 3, 30, 31]  # shown and new ones, and two of the known to check them
    assert FakeScorer.scored == 6
    anew = sample(tiny_generator, SampleOptions(count=32, px=64, sheet=1), tmp_path, tmp_path / "anew")
    for name in ATTRIBUTES:
        pairs = zip(got.rows, anew.rows, strict=True)
        assert all(a[name] == pytest.approx(b[name], rel=1e-6) for a, b in pairs)


def test_known_tables_that_cannot_be_true(tiny_generator: MobileStyleGAN, tmp_path: Path, drawn: list[int]) -> None:
    wrong = known_table(tmp_path / "wrong.parquet", tiny_generator, range(20), shift=30)
    with pytest.raises(TableError, match="standard deviations: another generator or other scorers"):
        sample(tiny_generator, SampleOptions(count=4, px=64, known=wrong), tmp_path, tmp_path / "a")
    (tmp_path / "few.csv").write_text("seed,age\n0,30\n")
    with pytest.raises(TableError, match=r"lacks .*'smile'"):
        sample(tiny_generator, SampleOptions(count=4, px=64, known=str(tmp_path / "few.csv")), tmp_path, tmp_path / "b")


def test_own_tables_and_callables(
    tiny_generator: MobileStyleGAN, tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.csv").write_text("seed,beard\n0,1.5\n2,3\n")
    module = types.ModuleType("own_scorers")
    module.light = lambda pictures: [{"light": brightness(picture)} for picture in pictures]  # type: ignore[attr-defined]
    module.number = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_scorers", module)
    options_given = {"count": 3, "px": 64, "tables": (str(tmp_path / "own.csv"),)}
    options = SampleOptions(**options_given, callables=("own_scorers:light",))  # type: ignore[arg-type]
    got = sample(tiny_generator, options, tmp_path, tmp_path / "work")
    assert got.attributes == [*ATTRIBUTES, "beard", "light"]
    assert [row["beard"] for row in got.rows] == [1.5, None, 3.0]
    assert [row["light"] for row in got.rows] == [brightness(picture) for picture in got.pictures]

    twice = SampleOptions(**{**options_given, "tables": options_given["tables"] * 2})  # type: ignore[operator, arg-type]
    with pytest.raises(TableError, match="'beard' is scored already"):
        sample(tiny_generator, twice, tmp_path, tmp_path / "work")
    with pytest.raises(ParamsError, match="own_scorers:dark"):
        load_callable("own_scorers:dark")
    with pytest.raises(ParamsError, match="is not callable"):
        load_callable("own_scorers:number")
    for name in ("no_such_module:x", ":x", "own_scorers"):
        with pytest.raises(ParamsError, match=r"wanted 'package.module:function'"):
            load_callable(name)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_score_tables(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"scores.{kind}"
    if kind == "csv":
        path.write_text("seed,age,hat\n3,20,\n4,30.5,1\n")
    else:
        pq.write_table(pa.table({"seed": [3, 4], "age": [20.0, 30.5], "hat": [None, 1.0]}), path)
    scores, covered = read_score_table(path)
    assert scores == {"age": {3: 20.0, 4: 30.5}, "hat": {4: 1.0}}
    assert covered == {3, 4}


def test_score_tables_that_cannot_be_used(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    with pytest.raises(InputError, match="no such score table"):
        read_score_table(path)
    path.write_text("no Parquet")
    with pytest.raises(TableError, match="neither Parquet nor CSV"):
        read_score_table(path)
    pq.write_table(pa.table({"age": [1.0]}), path)
    with pytest.raises(TableError, match="wanted a column 'seed'"):
        read_score_table(path)
    pq.write_table(pa.table({"seed": [1], "age": ["old"]}), path)
    with pytest.raises(TableError, match="'age' holds something that is not a number"):
        read_score_table(path)
    owned = pa.table({"seed": [1], "age": [1.0]}).replace_schema_metadata({"generator": "another"})
    pq.write_table(owned, path)
    with pytest.raises(TableError, match="scores of generator another, not of"):
        read_score_table(path, tiny_generator)
    assert read_score_table(path)[1] == {1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seed,a,a\n0,1,2\n", "wanted every column once, got 'a' twice"),
        ("seed,a\n,1\n1,3\n", "column 'seed': wanted whole numbers, got None"),
        ("seed,a\n0.5,1\n", "column 'seed': wanted whole numbers, got 0.5"),
        ("seed,a\n1,1\n2,2\n1,3\n", "seed 1 has several rows"),
        ("seed,a\n0,inf\n1,2\n", "'a' holds a number that is not finite"),
        ("seed,alt\xfcr\n0,1\n", "neither Parquet nor CSV: 'utf-8' codec"),
    ],
)
def test_score_tables_that_say_two_things(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(TableError, match=message):
        read_score_table(tmp_path / "scores.csv")


def test_an_owner_that_is_no_text(tiny_generator: MobileStyleGAN, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.table({"seed": [1], "age": [1.0]}).replace_schema_metadata({b"generator": b"\xff"}), path)
    with pytest.raises(TableError, match="scores of generator"):
        read_score_table(path, tiny_generator)


def test_scores_of_a_callable_keep_its_order(
    tiny_generator: MobileStyleGAN, tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The columns of the table are the same in every run; of eight names a set has another order nearly always."""
    names = [f"own_{i}" for i in (3, 1, 7, 0, 2, 6, 5, 4)]
    module = types.ModuleType("own_scorers")
    module.all = lambda pictures: [dict.fromkeys(names, 1.0) for _ in pictures]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_scorers", module)
    options = SampleOptions(count=2, px=64, sheet=0, attributes=(), callables=("own_scorers:all",))
    assert sample(tiny_generator, options, tmp_path, tmp_path / "work").attributes == names


def test_options_that_cannot_be() -> None:
    for options in ({"count": 1}, {"count": 2, "px": 8}, {"count": 2, "check": -1}, {"count": 2, "sheet": -1}):
        with pytest.raises(ParamsError, match="count must be at least 2"):
            SampleOptions(**options)  # type: ignore[arg-type]


def test_other_attributes_than_faces_have(tiny_generator: MobileStyleGAN, tmp_path: Path, drawn: list[int]) -> None:
    """No face is looked for, and only what is shown is drawn."""
    got = sample(tiny_generator, SampleOptions(count=6, px=64, sheet=2, attributes=()), tmp_path, tmp_path / "work")
    assert (drawn, FakeScorer.scored, got.attributes, got.captions) == ([0, 1], 0, [], ["0", "1"])
    few = SampleOptions(count=3, px=64, sheet=1, attributes=("smile",))
    assert sample(tiny_generator, few, tmp_path, tmp_path / "work").attributes == ["smile"]
    with pytest.raises(UnknownNameError, match="smiel"):
        SampleOptions(count=3, attributes=("smiel",))
