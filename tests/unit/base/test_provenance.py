"""The import closure, on a small package made for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ganvert.base import provenance
from ganvert.base.errors import UnknownNameError
from ganvert.base.provenance import closure, closure_digest, imports, modules

FILES = {
    "pkg/__init__.py": """
        def __getattr__(name):
            if name == "late":
                from pkg.asked import late
                return late
            raise AttributeError(name)
        """,
    "pkg/asked.py": "late = 1",
    "pkg/main.py": """
        from typing import TYPE_CHECKING
        import numpy
        from pkg import part, sub
        if TYPE_CHECKING:
            from pkg.typed import Kind
        else:
            from pkg import untyped
        def work():
            from pkg.lazy import value
            return value
        """,
    "pkg/part.py": "from . import sibling",
    "pkg/sibling.py": "",
    "pkg/untyped.py": "",
    "pkg/typed.py": "",
    "pkg/lazy.py": """
        try:
            import pkg.deep.inner.leaf as leaf
        except ImportError:
            from pkg.fallback import leaf
        """,
    "pkg/fallback.py": "",
    "pkg/deep/__init__.py": "from .helper import *",
    "pkg/deep/helper.py": "",
    "pkg/deep/inner/__init__.py": "",
    "pkg/deep/inner/leaf.py": "from ...far import name",
    "pkg/far.py": "name = 1",
    "pkg/sub/__init__.py": "from pkg.sub.a import f",
    "pkg/sub/a.py": "def f(): return 1",
    "pkg/sub/unused.py": "",
    "pkg/names.py": "from pkg import late",
    "pkg/reexport.py": "from pkg.sub import f",
    "numpy.py": "",  # a foreign package beside ours, as in site-packages
}


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text.replace("\n        ", "\n"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the package, with some files changed, into a folder of its own, and make that the root."""

    def make(**changed: str) -> Path:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        put(root, FILES | {f"pkg/{name}.py": text for name, text in changed.items()})
        monkeypatch.setattr(provenance, "ROOT", root)
        return root

    return make


def names(*entries: str, without: tuple[str, ...] = ()) -> set[str]:
    files = closure(*entries, without=without)
    assert list(files) == sorted(files)
    return {file.removeprefix("pkg/").removesuffix(".py") for file in files}


def test_everything_that_can_run_is_found_and_nothing_else(package: Callable[..., Path]) -> None:
    package()
    deep = {"deep/__init__", "deep/helper", "deep/inner/__init__", "deep/inner/leaf", "far"}
    expected = {"__init__", "main", "part", "sibling", "untyped", "lazy", "fallback", "sub/__init__", "sub/a", *deep}
    assert names("pkg.main") == expected
    assert names("pkg.deep.inner.leaf") == deep | {"__init__"}
    assert names("pkg.reexport") == {"__init__", "reexport", "sub/__init__", "sub/a"}
    assert names("pkg.part", "pkg.far") == {"__init__", "part", "sibling", "far"}


def test_a_lazy_name_of_a_package_counts_for_those_who_ask_for_it(package: Callable[..., Path]) -> None:
    package()
    assert names("pkg.names") == {"__init__", "names", "asked"}
    assert "asked" not in names("pkg.main")


def test_what_is_left_out_is_not_followed(package: Callable[..., Path]) -> None:
    package()
    assert names("pkg.main", without=("pkg.lazy", "pkg.sub")) == {"__init__", "main", "part", "sibling", "untyped"}
    assert names("pkg.reexport", without=("pkg.__init__", "pkg.sub.__init__")) == {"reexport"}
    assert names("pkg.sub.a", "pkg.far", without=("pkg",)) == {"sub/a", "far"}  # entries always count


def test_imports_of_one_module_name_foreign_packages_too(package: Callable[..., Path]) -> None:
    package()
    assert imports("pkg.main") == {"typing", "numpy", "pkg.part", "pkg.sub", "pkg.untyped", "pkg.lazy"}
    assert imports("pkg.deep") == {"pkg.deep.helper"}
    assert modules("pkg.deep") == ["pkg.deep", "pkg.deep.helper", "pkg.deep.inner", "pkg.deep.inner.leaf"]


@pytest.mark.parametrize("arguments", [{"entries": ["pkg.man"]}, {"entries": ["pkg.main"], "without": ("pkg.suub",)}])
def test_a_name_without_a_file_is_refused(package: Callable[..., Path], arguments: dict) -> None:
    package()
    with pytest.raises(UnknownNameError, match=r"pkg\.(man|suub): wanted a module or package in "):
        closure(*arguments.pop("entries"), **arguments)


CODE = """def f(a, b=1):
    return {**a, "b": [b, None]}


class C:
    x: int = 0
"""
SAME = '''"""About the module."""

# Why f is here.


def f(a, b = 1):
    """Return something."""  # and how

    return {
        **a,
        'b': [b, None],
    }
class C:
    """A class."""

    x: int = (0)
'''


def test_comments_layout_and_docstrings_do_not_change_the_digest(package: Callable[..., Path]) -> None:
    package(far=CODE)
    before = closure_digest("pkg.main")
    package(far=SAME)
    assert closure_digest("pkg.main") == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("b=1", "b=2"),
        ("b=1", "b=True"),
        ("b=1", "b=1.0"),
        ("[b, None]", "[None, b]"),
        ("[b, None]", "(b, None)"),
        ("**a, ", ""),
        ("x: int = 0", "x: int"),
        ("x: int = 0", "x: int = -0"),
        ("def f", "async def f"),
        ("    return {", "    return 'not a docstring', {"),
    ],
)
def test_code_changes_the_digest(package: Callable[..., Path], old: str, new: str) -> None:
    package(far=CODE)
    before = closure_digest("pkg.main")
    package(far=CODE.replace(old, new))
    assert closure_digest("pkg.main") != before
    assert closure_digest("pkg.reexport") == closure_digest("pkg.reexport", "pkg.sub.a")  # far is no part of it


def test_where_code_lies_counts(package: Callable[..., Path]) -> None:
    package()
    before = closure_digest("pkg.part"), closure_digest("pkg.reexport")
    package(sibling="from pkg import far")
    assert closure_digest("pkg.part") != before[0]
    assert closure_digest("pkg.reexport") == before[1]
