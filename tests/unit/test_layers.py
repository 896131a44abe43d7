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
    program = "import sys, ganvert.cli, ganvert.invert, ganvert.samples; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.split()) == set()
