"""README and docs: Python examples run as they stand, and command lines name commands and options that exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer.main

from ganvert import tables
from ganvert.cli import app
from ganvert.generators import load_generator

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Libraries that ganvert does not install; a block that imports one of them is skipped where it is missing.
FOREIGN = {"pandas", "polars", "duckdb"}


def python_blocks(page: Path) -> list[str]:
    return [text for language, text in FENCED.findall(page.read_text()) if language == "python"]


#: Pages with Python examples; those of encoders.md draw large images.
EXAMPLES = [
    pytest.param(page, marks=pytest.mark.slow) if page.stem == "encoders" else page
    for page in PAGES
    if python_blocks(page)
]


def command_lines(page: Path) -> Iterator[str]:
    """Lines of shell and indented blocks and inline code that call `ganvert`."""
    text = page.read_text()
    shell = "\n".join(block for language, block in FENCED.findall(text) if language == "sh")
    prose = FENCED.sub("", text)
    lines = [*shell.splitlines(), *re.findall(r"^    (.*)$", prose, re.MULTILINE), *re.findall(r"`([^`\n]+)`", prose)]
    for line in lines:
        if match := re.match(r"(?:\.venv/bin/)?ganvert (?=[a-z])(.*)", line.strip()):
            yield match[1]


def write_row(name: str, table: tables.Table, metadata: dict[str, str] | None = None) -> None:
    """Write a table of one row in which every value is zero or empty."""
    row = {field.name: empty(field.type) for field in table.schema()}
    tables.write(Path("data", f"{name}.parquet"), table, [row], metadata)


def empty(kind: pa.DataType) -> Any:
    if pa.types.is_fixed_size_list(kind):
        return [empty(kind.value_type)] * kind.list_size
    if pa.types.is_list(kind):
        return []
    return "" if pa.types.is_string(kind) else b"" if pa.types.is_binary(kind) else 0


@pytest.fixture
def project(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that examples open, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/assets").symlink_to(assets)
    Path("ganvert").mkdir()
    Path("ganvert/weights").symlink_to(ROOT / "ganvert" / "weights")
    Path("stylegan2-ffhq.pkl").symlink_to(ROOT / "tests" / "golden" / "checkpoints" / "A2_ada_skip_w64_map8.pkl")
    fingerprint = load_generator(assets / "mobile_stylegan.safetensors").fingerprint()
    metadata = {"generator": fingerprint, "space": "wplus", "method": "encoder_wplus", "label": "", "options": "{}"}
    metadata["shapes"] = json.dumps({"ws": [16, 512]})
    write_row("codes/balanced", tables.codes_table({"ws": (16, 512)}), metadata)
    for name, table in (("scores", tables.SCORES), ("photos", tables.PHOTOS), ("edits", tables.EDITS)):
        write_row(name, table)
    return tmp_path


#: Runs the blocks of a page in one namespace, all of them even if some fail; the exit code is the number of failures.
RUNNER = """
import json, sys, traceback

page, blocks, foreign = json.loads(sys.argv[1])
namespace, failures = {"__name__": "docs"}, 0
for i, block in enumerate(blocks, 1):
    try:
        exec(compile(block, f"{page}, Python block {i}", "exec"), namespace)
    except ModuleNotFoundError as error:
        if error.name not in foreign:
            raise
    except Exception:
        failures += 1
        traceback.print_exc()
sys.exit(failures)
"""


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.stem)
def test_python_blocks_run_in_order(page: Path, project: Path) -> None:
    # In a process of its own, as examples add to registries.
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, json.dumps([page.name, python_blocks(page), sorted(FOREIGN)])],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.returncode} Python blocks of {page.name} fail: {done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_options_exist(page: Path) -> None:
    program: Any = typer.main.get_command(app)
    for line in command_lines(page):
        name, *arguments = shlex.split(line, comments=True)
        assert name in program.commands, f"{page.name}: ganvert {line}: there is no such command"
        found = program.commands[name]
        if arguments and arguments[0] in getattr(found, "commands", ()):
            found = found.commands[arguments[0]]
        options = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
        unknown = {word.split("=")[0] for word in arguments if word.startswith("--")} - options - {"--help"}
        assert not unknown, f"{page.name}: ganvert {line}: there is no option {', '.join(sorted(unknown))}"


def test_command_lines_are_found() -> None:
    """A change of the pages' markup must not leave the test above without lines to check."""
    lines = [line for page in PAGES for line in command_lines(page)]
    assert len(lines) > 20
    assert any("--method" in line for line in lines)
