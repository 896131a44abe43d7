"""Who may import whom, and that nothing unpickles."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from ganvert.base.provenance import ROOT, imports, modules


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("ganvert", {"stages", "flows", "prefect", "dvc", "fastapi"}),
        ("stages", {"flows", "prefect", "dvc", "fastapi"}),
        ("flows", {"ganvert", "torch", "numpy"}),
        ("ganvert.base", {"torch"}),
    ],
)
def test_layers(package: str, forbidden: set[str]) -> None:
    used = {module: {name.partition(".")[0] for name in imports(module)} for module in modules(package)}
    assert used
    assert {module: bad for module, names in used.items() if (bad := forbidden & names)} == {}


#: Packages and loose modules of the library, lowest first: each may import what stands in an earlier line, and itself.
ORDER = [
    {"base"},
    {"tables", "images", "compute"},
    {"networks"},
    {"checkpoints"},
    {"generators"},
    {"assets"},
    {"discriminators", "spaces", "faces"},
    {"losses"},
    {"encoders", "sampling"},
    {"inversion"},
    {"codes"},
    {"directions", "scoring"},
    {"editing", "exchange"},
    {"training"},
    {"extraction"},
    {"study"},
    {"report"},
    {"studio"},
    {"cli"},
]


#: The number of a part's line in ORDER.
RANK = {part: rank for rank, line in enumerate(ORDER) for part in line}


def part_of(module: str) -> str:
    """The package or loose module of the library that a dotted name belongs to; "" for ganvert itself and others."""
    return module.split(".")[1] if module.startswith("ganvert.") else ""


def parts_used(module: str) -> set[str]:
    """Other parts of the library that a module imports when it runs (not for types alone), lazily or not."""
    return {part_of(name) for name in imports(module)} - {"", part_of(module)}


def file_of(module: str) -> Path:
    stem = ROOT.joinpath(*module.split("."))
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


def packages() -> list[str]:
    return [module for module in modules("ganvert") if file_of(module).name == "__init__.py"]


def test_every_part_of_the_library_has_its_place() -> None:
    assert {part_of(module) for module in modules("ganvert")} - {""} == set(RANK)


def test_few_modules_lie_loose() -> None:
    loose = {path.stem for path in (ROOT / "ganvert").glob("*.py")} - {"__init__"}
    assert len(loose) <= 4, sorted(loose)


def test_the_library_imports_in_one_direction() -> None:
    bad = {}
    for module in modules("ganvert"):
        if part := part_of(module):  # ganvert itself gives names of all parts, on request
            bad[module] = {used for used in parts_used(module) if RANK[used] >= RANK[part]}
    assert {module: parts for module, parts in bad.items() if parts} == {}


def test_no_module_imports_itself_through_others() -> None:
    """Inside packages too, and through lazy imports."""
    try:
        TopologicalSorter({module: imports(module) for module in modules("ganvert")}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("package", packages())
def test_a_package_says_what_it_is_for_and_what_it_may_import(package: str) -> None:
    text = ast.get_docstring(ast.parse(file_of(package).read_text())) or ""
    sentences = re.findall(r"[^.]+(?:\.\w[^.]*)*\.(?=\s|$)", text)
    assert len(sentences) >= 2, f"{package}: wanted two sentences, got {text!r}"
    about_imports = " ".join(sentence for sentence in sentences if "may import" in sentence)
    assert about_imports, f"{package}: wanted a sentence with 'may import', got {text!r}"
    named = [RANK[name] for name in re.findall(r"`(\w+)`", about_imports) if name in RANK]
    inside = [module for module in modules(package) if part_of(module)] if package != "ganvert" else []
    used = {part for module in inside for part in parts_used(module)}
    too_high = {part for part in used if RANK[part] > max(named, default=-1)}
    assert not too_high, f"{package}: imports {sorted(too_high)}, but says: {about_imports.strip()}"


def test_nothing_unpickles() -> None:
    bad = []
    for name in (name for package in ("ganvert", "stages", "flows") for name in modules(package)):
        if {"pickle", "joblib", "dill", "cloudpickle"} & {used.partition(".")[0] for used in imports(name)}:
            bad.append(f"{name} imports a pickler")
        for node in ast.walk(ast.parse(file_of(name).read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called in {"torch.load", "pickle.load", "pickle.loads", "eval", "exec", "yaml.unsafe_load"}:
                bad.append(f"{name}:{node.lineno} {called}")
            if (
                keywords.get("allow_pickle") == "True"
                or keywords.get("weights_only") == "False"
                or "Loader" in keywords
            ):
                bad.append(f"{name}:{node.lineno} {called}")
    assert bad == []


@pytest.mark.slow
def test_heavy_packages_wait_until_they_are_needed() -> None:
    heavy = {
        "dlib",
        "onnxruntime",
        "sklearn",
        "matplotlib",
        "jinja2",
        "dvc",
        "prefect",
        "lpips",
        "torchvision",
        "gradio",
    }
    program = "import sys, ganvert.cli, ganvert.inversion.run, ganvert.sampling; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.split()) == set()
