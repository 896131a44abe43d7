"""What every finder of DIRECTIONS promises, and the tables around them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ganvert import tables
from ganvert.base import params
from ganvert.base.errors import ShapeError, TableError, UnknownNameError
from ganvert.directions import DIRECTIONS, Direction, Samples, choose, load_directions, load_samples, save_directions
from stages import discover

OPTIONS = {
    "interfacegan": {"attributes": {"smile": {}, "age": {"condition_on": ["smile"], "first_row": 2}}},
    "ganspace": {"components": 3, "transfer": "jointly"},
}


def samples(count: int = 300, d: int = 8) -> Samples:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(count, d)).astype(np.float32).astype(np.float64)  # what a table holds
    w = np.tanh(z @ rng.normal(size=(d, d))).astype(np.float32).astype(np.float64)
    scores = {name: (w @ rng.normal(size=d)).astype(np.float32).astype(np.float64) for name in ("smile", "age")}
    scores["age"][5] = np.nan
    return Samples(z=z, w=w, scores=scores, num_ws=4)


def store(path: Path, data: Samples, metadata: dict[str, str]) -> None:
    names = list(data.scores)
    rows = (
        {"seed": i, "z": data.z[i], "w": data.w[i]}
        | {name: None if np.isnan(data.scores[name][i]) else float(data.scores[name][i]) for name in names}
        for i in range(len(data.z))
    )
    tables.write(path, tables.samples_table(data.z.shape[1], data.w.shape[1], names), rows, metadata)


@pytest.mark.parametrize("name", sorted(DIRECTIONS))
def test_every_finder(name: str, tmp_path: Path) -> None:
    finder = DIRECTIONS[name]
    data = samples()
    found = finder.find(data, params.build(finder.options, OPTIONS[name], name))
    assert {one.space for one in found} == {"w", "z"}
    assert len({(one.name, one.space) for one in found}) == len(found)
    for one in found:
        assert one.method == name
        assert one.vector.dtype == np.float64 and one.vector.shape == (8,)
        assert np.linalg.norm(one.vector) == pytest.approx(1, abs=1e-12)
        codes = data.w if one.space == "w" else data.z
        assert one.unit == pytest.approx(np.std(codes @ one.vector, ddof=1))
        assert 0 <= one.first_row < one.last_row <= data.num_ws
        json.dumps(one.quality, allow_nan=False)
    save_directions(tmp_path / "d.parquet", found)
    back = load_directions(tmp_path / "d.parquet")
    assert len(back) == len(found)
    for one in found:
        other = choose(back, one.name, one.space)
        assert other.vector == pytest.approx(one.vector, abs=1e-7)
        assert {**dataclasses.asdict(other), "vector": 0} == {**dataclasses.asdict(one), "vector": 0}


def test_samples_come_back_as_stored(tmp_path: Path) -> None:
    data = samples()
    store(tmp_path / "samples.parquet", data, {"num_ws": "4"})
    back = load_samples(tmp_path / "samples.parquet")
    assert back.num_ws == 4 and list(back.scores) == ["smile", "age"]
    assert np.array_equal(back.z, data.z) and np.array_equal(back.w, data.w)
    assert np.array_equal(back.scores["age"], data.scores["age"], equal_nan=True)
    store(tmp_path / "bare.parquet", data, {})
    with pytest.raises(TableError, match="num_ws"):
        load_samples(tmp_path / "bare.parquet")


def test_samples_of_unequal_length_are_refused() -> None:
    data = samples()
    with pytest.raises(ShapeError):
        Samples(z=data.z[:-1], w=data.w, scores={}, num_ws=4)
    with pytest.raises(ShapeError, match="'smile'"):
        Samples(z=data.z, w=data.w, scores={"smile": data.z[:, :1]}, num_ws=4)


def test_one_name_of_two_methods_is_refused_on_reading(tmp_path: Path) -> None:
    both = [Direction("smile", "w", method, np.eye(8)[0], 1.0, 0, 4) for method in ("interfacegan", "ganspace")]
    save_directions(tmp_path / "d.parquet", both)
    with pytest.raises(TableError, match="both have a direction 'smile' in w"):
        load_directions(tmp_path / "d.parquet")


def test_an_unknown_direction_is_named_with_those_that_exist() -> None:
    known = {("smile", "w"): Direction("smile", "w", "interfacegan", np.eye(8)[0], 1.0, 0, 4)}
    with pytest.raises(UnknownNameError, match=r"unknown direction in w 'smil'; known: smile. Did you mean"):
        choose(known, "smil", "w")


def test_stage_writes_the_table_and_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_params) -> None:
    monkeypatch.chdir(tmp_path)
    store(tmp_path / discover.SAMPLES, samples(), {"num_ws": "4"})
    write_params(discover={"methods": OPTIONS})
    discover.main()
    found = load_directions(tmp_path / discover.OUT)
    assert {one.method for one in found.values()} == set(OPTIONS)
    tree = json.loads((tmp_path / discover.FIGURES).read_text())
    assert tree["interfacegan"]["w"]["age"]["leak"].keys() == {"smile"}
    assert tree["ganspace"]["z"]["ganspace_0"]["unit"] > 0
    first = (tmp_path / discover.OUT).read_bytes()
    discover.main()
    assert (tmp_path / discover.OUT).read_bytes() == first


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"interfacegan": {"atributes": {}}}, "did you mean 'attributes'"),
        ({"interfacegann": {}}, "Did you mean 'interfacegan'"),
        ({}, "at least one"),
    ],
)
def test_stage_refuses_a_mistyped_parameter_before_it_reads_anything(
    methods: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_params
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(discover={"methods": methods})
    with pytest.raises(SystemExit, match=message):
        discover.main()
