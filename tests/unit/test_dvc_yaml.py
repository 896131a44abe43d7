"""DVC does not follow imports: dvc.yaml is held to the code here."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# Plumbing whose change cannot change a result that is right: errors, files, lookup, parameter reading, logging.
PLUMBING = {
    "ganvert/__init__.py",
    "ganvert/errors.py",
    "ganvert/files.py",
    "ganvert/params.py",
    "ganvert/registry.py",
    "ganvert/runtime.py",
    "ganvert/images.py",
    "ganvert/seeds.py",
    "ganvert/assets.py",
    "stages/__init__.py",
    "stages/common.py",
    "stages/settings.py",
}


def body(name: str) -> dict:
    stage = STAGES[name]
    return stage.get("do", stage)


def imported(path: Path) -> set[str]:
    """Project files that a module imports, by its own import statements."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.split(".")[0] in ("ganvert", "stages"):
                stem = ROOT.joinpath(*name.split("."))
                for file in (stem.with_suffix(".py"), stem / "__init__.py"):
                    if file.exists():
                        found.add(str(file.relative_to(ROOT)))
    return found


def covered(file: str, deps: list[str]) -> bool:
    return file in PLUMBING or any(file == dep or file.startswith(dep + "/") for dep in deps)


def test_every_stage_module_stands_in_dvc_yaml_and_back():
    modules = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__", "common", "settings"}
    assert modules == set(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_command_is_the_stage_module(name):
    assert body(name)["cmd"].split(" $")[0] == f"python -m stages.{name}"


@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_imports_is_in_its_deps(name):
    deps = [dep for dep in body(name)["deps"] if not dep.startswith("data/")]
    missing = {file for file in imported(ROOT / f"stages/{name}.py") if not covered(file, deps)}
    assert not missing, f"dvc.yaml: stage {name!r} imports {sorted(missing)} but lacks them in deps"


@pytest.mark.parametrize("name", STAGES)
def test_deps_exist(name):
    for dep in body(name)["deps"]:
        if not dep.startswith(("data/", "$")):
            assert (ROOT / dep).exists(), f"{name}: {dep} is no file of the project"


@pytest.mark.parametrize("name", STAGES)
def test_outs_are_written_by_the_stage(name):
    """A path is written twice, in dvc.yaml and in the stage, but cannot differ."""
    text = (ROOT / f"stages/{name}.py").read_text()
    outs = [out if isinstance(out, str) else next(iter(out)) for out in body(name).get("outs", [])]
    for out in outs:
        folder, _, file = out.replace("${key}", "").rpartition("/")
        assert f'"{out}"' in text or (f'"{folder}"' in text and (file == ".parquet" or file in text)), out
