"""Who may import whom, and that nothing unpickles."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield ((node.module or package_of(path)) if not node.level else package_of(path)).split(".")[0]


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("ganvert", {"stages", "flows", "prefect", "dvc", "fastapi"}),
        ("stages", {"flows", "prefect", "dvc", "fastapi"}),
        ("flows", {"ganvert", "torch", "numpy"}),
    ],
)
def test_layers(package: str, forbidden: set[str]) -> None:
    found = modules(package)
    assert found
    assert {str(path.relative_to(ROOT)): bad for path in found if (bad := forbidden & set(imports(path)))} == {}


#: Packages and loose modules of the library, lowest first: each may import what stands in an earlier line, and itself.
ORDER = [
    {"base"},
    {"tables", "images", "compute"},
    {"networks"},
    {"checkpoints"},
    {"generators"},
    {"assets"},
    {"discriminators", "spaces", "losses", "faces"},
    {"encoders", "sampling"},
    {"inversion"},
    {"codes"},
    {"directions", "scoring"},
    {"editing"},
    {"training"},
    {"extraction"},
    {"report"},
    {"cli"},
]


def part_of(module: str) -> str:
    """The package or loose module of the library that a dotted name belongs to; "" for ganvert itself."""
    return module.split(".")[1] if module.startswith("ganvert.") else ""


def library_imports(path: Path) -> Iterator[str]:
    """Parts of the library that a file imports when it runs (not for types alone), lazily or not."""
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "ganvert":
            yield from (alias.name for alias in node.names if alias.name != "__version__")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ganvert."):
            yield part_of(str(node.module))


def test_every_part_of_the_library_has_its_place() -> None:
    found = {part_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in modules("ganvert")}
    assert found - {"__init__"} == set().union(*ORDER)


def test_the_library_imports_in_one_direction() -> None:
    allowed, earlier = {}, set[str]()
    for line in ORDER:
        allowed |= {part: earlier | {part} for part in line}
        earlier = earlier | line
    bad = {}
    for path in modules("ganvert"):
        part = part_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if part != "__init__" and (wrong := set(library_imports(path)) - allowed[part]):
            bad[str(path.relative_to(ROOT))] = wrong
    assert bad == {}


def test_nothing_unpickles() -> None:
    bad = []
    for path in (path for package in ("ganvert", "stages", "flows") for path in modules(package)):
        name = str(path.relative_to(ROOT))
        if {"pickle", "joblib", "dill", "cloudpickle"} & set(imports(path)):
            bad.append(f"{name} imports a pickler")
        for node in ast.walk(ast.parse(path.read_text())):
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


def test_heavy_packages_wait_until_they_are_needed() -> None:
    heavy = {"dlib", "onnxruntime", "sklearn", "matplotlib", "jinja2", "dvc", "prefect", "lpips", "torchvision"}
    program = "import sys, ganvert.cli, ganvert.inversion.run, ganvert.sampling; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.split()) == set()
