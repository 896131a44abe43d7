"""Files of other tools from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ganvert.compute.random import normal
from ganvert.directions import load_directions
from ganvert.exchange import import_directions


def test_codes_there_and_back(run, tiny_generator_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", normal([0, 1], (8, 16)).numpy())
    (tmp_path / "names.txt").write_text("ann.jpg\nbob.jpg\n")
    table, generator = tmp_path / "codes.parquet", ("--generator", tiny_generator_file)
    done = run("import-codes", tmp_path / "codes.npy", *generator, "--names", tmp_path / "names.txt", "--out", table)
    assert (done.exit_code, done.output) == (0, f"{table}: 2 codes in wplus\n")
    done = run("export-codes", table, *generator, "--as", "npz", "--out", tmp_path / "projected")
    assert done.exit_code == 0
    again = np.concatenate([np.load(tmp_path / f"projected/{name}.npz")["w"] for name in ("ann", "bob")])
    assert np.array_equal(again, np.load(tmp_path / "codes.npy"))
    done = run("export-codes", table, *generator, "--as", "hdf5", "--out", tmp_path / "x")
    assert done.exit_code == 2
    assert "huggingface" in done.output


def test_directions_there_and_back(
    run, tiny_generator_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_directions, "SAMPLES", 50)
    vector = np.arange(1.0, 17)[None]
    np.save(tmp_path / "v.npy", vector)
    table, generator = tmp_path / "directions.parquet", ("--generator", tiny_generator_file)
    arguments = ("directions", "import", tmp_path / "v.npy", *generator, "--space", "w", "--out", table)
    done = run(*arguments, "--name", "tilt", "--unit", "own", "--rows", "2:5")
    assert done.exit_code == 0, done.output
    assert "tilt in w, rows 2 to 4" in done.output
    out = tmp_path / "tilt.npy"
    done = run("directions", "export", "tilt", *generator, "--directions", table, "--as", "npy", "--out", out)
    assert done.exit_code == 0, done.output
    rows = np.load(out)
    assert rows.shape == (1, 8, 16)
    np.testing.assert_allclose(rows[0, 2:5], np.repeat(vector, 3, axis=0), rtol=1e-6)
    assert not rows[0, :2].any()
    assert not rows[0, 5:].any()
    done = run(*arguments, "--name", "other", "--rows", "2-5")
    assert done.exit_code == 2
    done = run(*arguments, "--name", "other", "--unit", "sigma")
    assert done.exit_code == 2
    assert "fit, own or a number" in done.output


def test_a_direction_of_rated_photographs(run, tiny_generator_file: Path, tmp_path: Path) -> None:
    codes = normal(range(60), (8, 16))
    np.save(tmp_path / "codes.npy", codes.numpy())
    names = [f"person{i:02}" for i in range(60)]
    (tmp_path / "names.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    generator, table = ("--generator", tiny_generator_file), tmp_path / "codes.parquet"
    arguments = ("--names", tmp_path / "names.txt", "--out", table)
    assert run("import-codes", tmp_path / "codes.npy", *generator, *arguments).exit_code == 0
    ratings = tmp_path / "ratings.csv"
    along = codes[:, 2:5].mean(dim=1)[:, 3].tolist()
    lines = [f"{name}.jpg,kind,{value}" for name, value in zip(names, along, strict=True)]
    lines += [f"{name}.jpg,tall,{i % 7}" for i, name in enumerate(names)]
    ratings.write_text("\n".join(["image,trait,value", *lines]))
    out = tmp_path / "mine.parquet"
    arguments = ("directions", "find", "--codes", table, "--scores", ratings, *generator, "--out", out)
    done = run(*arguments, "--trait", "kind", "--condition", "tall", "--rows", "2:5")
    assert done.exit_code == 0, done.output
    assert "kind in w from 60 photographs; held out: accuracy" in done.output
    found = load_directions(out)["kind", "w"]
    assert (found.first_row, found.last_row) == (2, 5) and found.vector.argmax() == 3
    again = run(*arguments, "--trait", "kind")
    assert again.exit_code == 2 and "has a direction" in again.output
    missing = run(*arguments, "--trait", "shy")
    assert missing.exit_code == 2 and "known: kind, tall" in missing.output
