"""Stage `watch`: a file changes exactly when something that params.yaml lists does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import watch

PARAMS = """
align: {photos: [photos, set.zip, list.txt]}
sample: {known: null, tables: [more.csv], callables: ["mine.scorers:score"]}
study: {photos: [portraits]}
invert: {methods: {a: mine.safetensors, b: [data/encoders/trained.safetensors, far/second.safetensors]}}
"""


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """A folder with all kinds of inputs; a call runs the stage and returns the files that are not as before."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "photos/a.jpg",
        "photos/deep/b.jpg",
        "set.zip",
        "far/listed.jpg",
        "more.csv",
        "mine/scorers.py",
        "portraits/c.jpg",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("first")
    Path("list.txt").write_text("far/listed.jpg\n")
    os.mkfifo("photos/pipe.jpg")
    Path("photos/nowhere.jpg").symlink_to("gone.jpg")
    Path(os.fsdecode(b"photos/caf\xe9.jpg")).touch()
    Path("params.yaml").write_text(PARAMS)
    written: dict[str, str] = {}

    def run() -> set[str]:
        watch.main()
        found = {path.stem: path.read_text() for path in watch.OUT.iterdir()}
        names = {name for name, text in found.items() if written.get(name) != text}
        written.update(found)
        return names

    assert run() == {"photographs", "samples", "study", "weights"}
    return run


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("photos/a.jpg", {"photographs"}),
        ("photos/deep/b.jpg", {"photographs"}),
        ("photos/deep/deeper/new.jpg", {"photographs"}),
        ("set.zip", {"photographs"}),
        ("far/listed.jpg", {"photographs"}),
        ("photos/gone.jpg", {"photographs"}),  # a file, and the link to it
        ("portraits/c.jpg", {"study"}),
        ("more.csv", {"samples"}),
        ("mine/helpers.py", {"samples"}),
        ("mine.safetensors", {"weights"}),
        ("far/second.safetensors", {"weights"}),
        ("data/encoders/trained.safetensors", set()),  # DVC compares what an earlier stage writes
        ("photos/.hidden", set()),
        ("far/not_listed.jpg", set()),
    ],
)
def test_what_is_written_and_what_goes_is_noticed(changed: Callable[[], set[str]], name: str, whose: set[str]) -> None:
    assert changed() == set()
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("another text")
    assert changed() == whose
    assert changed() == set()
    Path(name).unlink()
    assert changed() == whose


@pytest.mark.parametrize("params", ["{}", "align: 3", "align: {photos: {a: b}}\nsample: {tables: [[3]]}"])
def test_params_of_another_form_are_left_to_the_stages_that_read_them(
    changed: Callable[[], set[str]], params: str
) -> None:
    Path("params.yaml").write_text(params)
    assert changed() == {"photographs", "samples", "study", "weights"}


def test_the_stage_imports_nothing_that_takes_time() -> None:
    code = "import sys, stages.watch; sys.exit('torch' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
