"""`ganvert sample`, `describe`, `import` and `methods`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from PIL import Image

from ganvert.assets.shipped import shipped
from ganvert.base.preset_files import ENCODERS, METHODS, Presets
from ganvert.directions import load_directions
from ganvert.generators import load_generator


@pytest.mark.parametrize("kind", [METHODS, ENCODERS])
def test_methods_lists_every_preset(run, kind) -> None:
    done = run("methods", *(["--encoders"] if kind is ENCODERS else []))
    assert done.exit_code == 0
    listed = {line.split("│")[1].strip() for line in done.output.splitlines() if line.startswith("│")}
    inline = yaml.safe_load(Path("params.yaml").read_text())["invert"]["options"] if kind is METHODS else {}
    assert listed - {""} == {*Presets(kind), *inline}


def test_methods_shows_a_preset_whole_and_as_a_file_of_its_own(run, tmp_path, monkeypatch) -> None:
    done = run("methods", "cpu_fwplus_pn")
    assert done.exit_code == 0
    assert done.output.splitlines()[:2] == ["# presets/cpu_fwplus_pn.yaml", "# presets/cpu_fwplus.yaml"]
    whole = Presets(METHODS).resolve("cpu_fwplus_pn")
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/mine.yaml").write_text(done.output)
    (tmp_path / "params.yaml").write_text("device: cpu")
    (tmp_path / "dvc.yaml").write_text("stages: {invert: {cmd: python -m stages.invert}}")
    monkeypatch.chdir(tmp_path)
    mine = Presets(METHODS).resolve("mine")
    assert (mine.options, mine.description) == (whole.options, whole.description)
    done = run("methods", "wplsu")
    assert done.exit_code == 2
    assert "unknown method 'wplsu'" in done.output and "Did you mean 'wplus'" in done.output


def test_directions_lists_every_direction_with_its_space_unit_range_and_rows(run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("directions")
    assert done.exit_code == 0, done.output
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.output.splitlines() if line[:1] == "│"]
    table = load_directions(shipped("directions_ffhq.parquet"))
    known = {key: direction for key, direction in table.items() if not direction.stands_in}
    named = " ".join(done.output.partition("Without their conditions:")[2].split()).split(", ")
    free = {
        name: direction.tested for (name, space), direction in table.items() if direction.stands_in and space == "w"
    }
    assert named == ["{} ({:g} to {:g})".format(name, *ends or ()) for name, ends in free.items()]
    assert "smile_free" in free
    assert len(lines) == len(known) > 0
    assert {(name, space): unit for name, space, unit, *_ in lines} == {
        key: f"{direction.unit:.3g}" for key, direction in known.items()
    }
    smile = next(line for line in lines if line[:2] == ["smile", "w"])
    assert known["smile", "w"].tested and smile[3] == "{:g} to {:g}".format(*known["smile", "w"].tested)
    assert next(line for line in lines if line[:2] == ["smile", "z"])[3] == "not tested"
    assert smile[4] == f"{known['smile', 'w'].first_row} to {known['smile', 'w'].last_row - 1}"
    assert run("directions", "--directions", "none.parquet").exit_code == 2


def test_sample_draws_the_same_sheet_for_the_same_seed(run, tiny_generator_file: Path, tmp_path: Path) -> None:
    sheets = {}
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        out = tmp_path / f"{name}.png"
        done = run("sample", "--generator", tiny_generator_file, "--count", 2, "--seed", seed, "--px", 64, "--out", out)
        assert done.exit_code == 0, done.output
        sheets[name] = Image.open(out).tobytes()
    assert sheets["a"] == sheets["b"] != sheets["c"]


def test_describe_a_generator_and_a_table(run, assets: Path) -> None:
    done = run("describe", assets / "mobile_stylegan.safetensors")
    assert done.exit_code == 0
    assert "1024 px" in done.output
    # Whole on a narrow terminal too: it is there to be compared.
    assert load_generator(assets / "mobile_stylegan.safetensors").fingerprint() in "".join(
        done.output.replace("│", " ").split()
    )
    assert "3000" in run("describe", shipped("scores_ffhq.parquet")).output


def test_import_and_describe_a_generator(run, tiny_generator_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    done = run("import", tiny_generator_file, out)
    assert done.exit_code == 0, done.output
    assert "64 px" in done.output
    assert run("import", tiny_generator_file, out).exit_code == 2
    assert run("import", tiny_generator_file, out, "--force").exit_code == 0
    assert "8 rows of 16" in run("describe", out).output
