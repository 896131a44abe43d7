"""dvc.yaml and the stages agree: modules, code, data."""

from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from ganvert.base.preset_files import ENCODERS, Presets
from ganvert.base.provenance import PLUMBING, closure
from stages import code_deps

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def body(name: str) -> dict:
    stage = STAGES[name]
    return stage.get("do", stage)


def test_every_stage_module_stands_in_dvc_yaml_and_back():
    # `extract` works on what does not belong to the project, so DVC has nothing to say about it.
    modules = {path.stem for path in (ROOT / "stages").glob("*.py")} - {
        "__init__",
        "common",
        "sections",
        "inputs",
        "photographs",
        "settings",
        "extract",
        "make_weights",
        "code_deps",
    }
    assert modules == set(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_command_is_the_stage_module(name):
    assert body(name)["cmd"].removesuffix(" ${key}") == f"${{python}} -m stages.{name}"


def test_the_code_of_every_stage_is_what_it_imports():
    text = (ROOT / "dvc.yaml").read_text()
    assert code_deps.rewrite(text) == text, "run `python -m stages.code_deps --write`"


@pytest.mark.parametrize("name", STAGES)
def test_all_code_that_a_stage_imports_is_in_its_deps(name):
    """Whatever the writer collapses into folders, no file is lost, and what is left out is left out on purpose."""
    left_out = {*PLUMBING, *code_deps.SHARED, *code_deps.UNUSED.get(name, ())}
    deps = set(body(name)["deps"])
    for file in closure(f"stages.{name}", without=tuple(left_out)):
        assert deps & {file, *map(str, Path(file).parents)}, f"{name}: {file}"


@pytest.mark.parametrize("file", ["Makefile", ".gitignore"])
def test_what_stages_write_is_cleaned_and_is_no_part_of_the_project(file):
    words = (ROOT / file).read_text().partition("\nclean:")[2].split() or (ROOT / file).read_text().split()
    patterns = [word.strip("/") for word in words]
    for name in STAGES:
        written = [*body(name).get("outs", ()), *body(name).get("metrics", ()), *body(name).get("plots", ())]
        for out in (next(iter(entry)) if isinstance(entry, dict) else entry for entry in written):
            folders = [out, *map(str, Path(out).parents)]
            assert any(fnmatch(folder, pattern) for folder in folders[:-1] for pattern in patterns), out


def test_the_writer_changes_code_alone():
    text = """# The order.
stages:
  report:
    cmd: python -m stages.report  # a comment
    deps:
      - ganvert/report/gone.py
      # the photographs
      - data/photos
      - ganvert/weights/scores_ffhq.parquet
    outs:
      - reports/report.html: {cache: false}
"""
    before, _, after = text.partition("      - ganvert/report/gone.py\n")
    code = "".join(f"      - {dep}\n" for dep in code_deps.code_of("report"))
    assert "      - ganvert/report\n" in code
    assert code_deps.rewrite(text) == before + code + after


@pytest.mark.parametrize("name", STAGES)
def test_deps_exist(name):
    for dep in body(name)["deps"]:
        if not dep.startswith(("data/", "reports/", "$")):
            assert (ROOT / dep).exists(), f"{name}: {dep} does not exist"


@pytest.mark.parametrize("name", STAGES)
def test_outs_are_written_by_the_stage(name):
    """A path is spelled twice, in dvc.yaml and in the stage, and must not differ."""
    text = (ROOT / f"stages/{name}.py").read_text()
    for out in outs_of(name):
        folder, _, file = out.replace("${key}", "").rpartition("/")
        assert f'"{out}"' in text or (f'"{folder}"' in text and (file == ".parquet" or file in text)), out


def outs_of(name):
    outs = [out for kind in ("outs", "metrics", "plots") for out in body(name).get(kind, [])]
    return [out if isinstance(out, str) else next(iter(out)) for out in outs]


@pytest.mark.parametrize("name", STAGES)
def test_data_is_written_before_it_is_read(name):
    """Data and reports in deps are outs of earlier stages (or inside or around such a folder), or the user's."""
    earlier = [
        out.replace("${key}", "") for before in list(STAGES)[: list(STAGES).index(name)] for out in outs_of(before)
    ]
    for dep in body(name)["deps"]:
        if dep.startswith(("data/", "reports/")) and dep not in ("data/photos", "data/inputs"):
            stem = dep.split("${")[0]
            assert any(out.startswith(stem) or stem.startswith(out) for out in earlier), (
                f"{name}: {dep} is not written before"
            )


@pytest.mark.parametrize("full", [False, True])
def test_methods_start_from_encoders_that_are_trained(full):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    encoders, methods = dict(params["train_encoder"]["encoders"]), dict(params["invert"]["methods"])
    if full:
        more = yaml.safe_load((ROOT / "params.full.yaml").read_text())
        encoders |= more["train_encoder"]["encoders"]
        methods |= more["invert"]["methods"]
    assert set(encoders) <= set(Presets(ENCODERS, folders=[ROOT / "presets"]))
    starts = [file for named in methods.values() for file in ([named] if isinstance(named, str) else named)]
    files = {file for file in starts if file.startswith("data/encoders/")}
    assert files and files <= {f"data/encoders/{name}.safetensors" for name in encoders}
