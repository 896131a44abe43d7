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
    "ganvert/base/errors.py",
    "ganvert/base/files.py",
    "ganvert/base/params.py",
    "ganvert/base/registry.py",
    "ganvert/compute/device.py",
    "ganvert/compute/progress.py",
    "ganvert/images.py",
    "ganvert/base/seeds.py",
    "ganvert/assets/__init__.py",
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
    # `extract` works on what does not belong to the project, so DVC has nothing to say about it.
    modules = {path.stem for path in (ROOT / "stages").glob("*.py")} - {
        "__init__",
        "common",
        "settings",
        "extract",
        "make_weights",
    }
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
        if not dep.startswith(("data/", "reports/", "$")):
            assert (ROOT / dep).exists(), f"{name}: {dep} is no file of the project"


@pytest.mark.parametrize("name", STAGES)
def test_outs_are_written_by_the_stage(name):
    """A path is written twice, in dvc.yaml and in the stage, but cannot differ."""
    text = (ROOT / f"stages/{name}.py").read_text()
    for out in outs_of(name):
        folder, _, file = out.replace("${key}", "").rpartition("/")
        assert f'"{out}"' in text or (f'"{folder}"' in text and (file == ".parquet" or file in text)), out


def outs_of(name):
    told = [out for kind in ("outs", "metrics", "plots") for out in body(name).get(kind, [])]
    return [out if isinstance(out, str) else next(iter(out)) for out in told]


@pytest.mark.parametrize("name", STAGES)
def test_what_stages_leave_is_made_before_it_is_read(name):
    """Of data and reports, deps are outs of earlier stages (or within such a folder, or around it), or the user's."""
    earlier = [
        out.replace("${key}", "") for before in list(STAGES)[: list(STAGES).index(name)] for out in outs_of(before)
    ]
    for dep in body(name)["deps"]:
        if dep.startswith(("data/", "reports/")) and dep not in ("data/photos", "data/inputs"):
            stem = dep.split("${")[0]
            assert any(out.startswith(stem) or stem.startswith(out) for out in earlier), f"{name}: nobody makes {dep}"


@pytest.mark.parametrize("full", [False, True])
def test_methods_start_from_encoders_that_are_trained(full):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    encoders, methods = dict(params["train_encoder"]["encoders"]), dict(params["invert"]["methods"])
    options = params["train_encoder"]["options"]
    if full:
        more = yaml.safe_load((ROOT / "params.full.yaml").read_text())
        encoders |= more["train_encoder"]["encoders"]
        methods |= more["invert"]["methods"]
    assert set(encoders) <= set(options)
    files = {file for file in methods.values() if file.startswith("data/encoders/")}
    assert files and files <= {f"data/encoders/{name}.safetensors" for name in encoders}
