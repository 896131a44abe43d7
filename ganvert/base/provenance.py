"""Which source files decide a result: the import closure of modules, read from syntax trees without importing them.

A list kept by hand forgets what runs and names what does not. Here the code itself is asked: finished shards and
training checkpoints are keyed by :func:`closure_digest`, the code dependencies of the pipeline are :func:`closure`,
and the test of the layers reads :func:`imports`.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ganvert.base.errors import UnknownNameError

_Import = ast.Import | ast.ImportFrom
__all__ = ["PLUMBING", "ROOT", "closure", "closure_digest", "imports", "modules"]

#: The folder that holds the packages: the project's, or site-packages.
ROOT = Path(__file__).parents[2]

#: Modules and packages whose change cannot change a result that is right. Everything else that is imported counts.
PLUMBING = (
    "ganvert.__init__",  # the version number; a release alone computes nothing again
    "ganvert.assets",  # finds and fetches files; their content is what counts, and it is hashed as such
    "ganvert.base.errors",
    "ganvert.base.files",  # files are written whole
    "ganvert.base.params",  # reads options; keys hold the options that come of it
    "ganvert.base.preset_files",  # merges presets; keys hold the options that come of it
    "ganvert.base.project",  # whether the current folder is a project
    "ganvert.base.provenance",
    "ganvert.base.registry",  # looks names up
    "ganvert.compute.memory",  # how many images fit; they do not influence each other
    "ganvert.compute.progress",  # progress bars and logging
)


def closure(*entries: str, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the source files that run, or can run, when modules are imported and used.

    Imports inside functions count, those for type checkers alone do not. ``from package import name`` leads to the
    submodule of that name, else to the package. Importing ``a.b.c`` runs the ``__init__`` of ``a`` and ``a.b`` too.
    Packages other than ganvert and those of the entries belong to the environment and are not followed.

    Args:
        entries: dotted names of modules. They count also where `without` covers them.
        without: modules and packages (with all inside) that neither count nor are followed; ``a.b.__init__`` is that
            file alone.

    Returns:
        Paths relative to :data:`ROOT`, with slashes, sorted.

    Raises:
        UnknownNameError: an entry or a name in `without` is no module.
    """
    return tuple(sorted(_path(ROOT, name).relative_to(ROOT).as_posix() for name in _closure(ROOT, entries, without)))


def closure_digest(*entries: str, without: tuple[str, ...] = ()) -> str:
    """Return the hex sha256 of what the files of :func:`closure` say to Python.

    Comments, blank lines, layout and docstrings do not count, and equal code has equal digests under every Python.
    """
    digest = hashlib.sha256()
    for file in closure(*entries, without=without):
        digest.update(f"{file}\n{_read(ROOT / file).digest}\n".encode())
    return digest.hexdigest()


def imports(module: str) -> frozenset[str]:
    """Return the dotted names of all modules that one module itself imports, foreign ones included.

    Raises:
        UnknownNameError: there is no such module.
    """
    return _imports(ROOT, module)


def modules(package: str) -> list[str]:
    """Return the dotted names of a package and of all modules inside, sorted."""
    files = (file.relative_to(ROOT).with_suffix("") for file in ROOT.joinpath(*package.split(".")).rglob("*.py"))
    return sorted(".".join(file.parts).removesuffix(".__init__") for file in files)


@cache
def _closure(root: Path, entries: tuple[str, ...], without: tuple[str, ...]) -> frozenset[str]:
    for name in (*entries, *without):
        _path(root, name)
    own = {"ganvert", *(entry.partition(".")[0] for entry in entries)}
    found: set[str] = set()
    todo = list(entries)
    while todo:
        name = todo.pop()
        if name in found or name.partition(".")[0] not in own or not _find(root, name):
            continue
        if name not in entries and any(_covers(cut, name) for cut in without):
            continue
        found.add(name)
        todo += [*_imports(root, name), name.rpartition(".")[0]]  # the parent brings its own parent
    return frozenset(found)


def _covers(cut: str, name: str) -> bool:
    """Return whether an item of `without` leaves a module out."""
    return f"{name}.".startswith(f"{cut}.") or cut == f"{name}.__init__"


@cache
def _imports(root: Path, module: str) -> frozenset[str]:
    path = _path(root, module)
    return frozenset(name for node in _read(path).imports for name in _targets(root, module, path, node))


@dataclass(frozen=True)
class _Source:
    """What one file says.

    Attributes:
        imports: its import statements, except those that only type checkers see.
        on_request: the import statements of its own `__getattr__` (PEP 562). They run for those who ask for the name,
            not for everybody who imports a package on the way to a submodule: otherwise `ganvert.load_generator` would
            make all code depend on the generators.
        digest: hex sha256 of its code.
    """

    imports: tuple[_Import, ...]
    on_request: tuple[_Import, ...]
    digest: str


@cache
def _read(path: Path) -> _Source:
    tree = ast.parse(path.read_bytes())
    on_request = tuple(_import_statements(filter(_is_getattr, tree.body)))
    words: list[str] = []
    _write(tree, words)
    return _Source(
        imports=tuple(node for node in _import_statements([tree]) if node not in on_request),
        on_request=on_request,
        digest=hashlib.sha256("\n".join(words).encode()).hexdigest(),
    )


def _targets(root: Path, module: str, path: Path, node: _Import) -> Iterator[str]:
    """Yield the modules that an import statement in `module` names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    # One dot is the package that the module is in (or is), each further dot the package around it.
    parts = module.split(".")
    around = parts[: len(parts) - node.level + (path.name == "__init__.py")] if node.level else []
    source = ".".join([*around, *([node.module] if node.module else [])])
    for alias in node.names:
        if _find(root, inner := f"{source}.{alias.name}"):
            yield inner
            continue
        yield source
        if package := _find(root, source):
            for lazy in _read(package).on_request:
                if alias.name in _bound(lazy):
                    yield from _targets(root, source, package, lazy)


def _bound(node: _Import) -> list[str]:
    return [alias.asname or alias.name for alias in node.names]


def _import_statements(nodes: Iterable[ast.AST]) -> Iterator[_Import]:
    """Yield the import statements at any depth, except those of `if TYPE_CHECKING`."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
            yield from _import_statements(node.orelse)
        elif not isinstance(node, ast.expr):  # statements stand in no expression
            yield from _import_statements(ast.iter_child_nodes(node))


def _name(node: ast.expr) -> str | None:
    """Return the last part of a name such as `TYPE_CHECKING` or `typing.TYPE_CHECKING`; None for other expressions."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _is_getattr(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__getattr__"


@cache
def _find(root: Path, module: str) -> Path | None:
    """Return the file of a module, or None where there is none below `root`."""
    stem = root.joinpath(*module.split("."))
    return next((file for file in (stem / "__init__.py", stem.with_suffix(".py")) if file.is_file()), None)


def _path(root: Path, module: str) -> Path:
    name, _, last = module.rpartition(".")
    found = _find(root, name if last == "__init__" else module)
    if found is None:
        raise UnknownNameError(f"{module}: wanted a module or package in {root}, got a name without a file; correct it")
    return found


def _write(node: ast.AST, words: list[str]) -> None:
    """Append a syntax tree to `words`, parents first, without docstrings.

    Not :func:`ast.dump`, whose text differs between Python versions: workers of one run may have different ones. New
    versions add fields that are empty for older code, so empty fields are left out.
    """
    words.append(type(node).__name__)
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            value = value[1:]
        if name == "ctx" or value is None or value == []:  # load, store or delete follows from the place
            continue
        words.append(name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                _write(item, words)
            else:
                words.append(repr(item))
    words.append("end")


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
