"""Files appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from ganvert.base.files import (
    atomic_folder,
    atomic_path,
    file_names,
    sha256_of,
    sweep,
    sweep_locked,
    sweep_temporary,
    temporary_prefix,
    write_json,
)


def test_success_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"
    for text in ("one", "two"):
        with atomic_path(path) as temporary:
            assert temporary.parent == path.parent
            assert temporary.suffix == ".png"
            temporary.write_text(text)
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, stop: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(stop), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise stop
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    killed = """
import os, signal, sys
from pathlib import Path
from ganvert.base.files import atomic_folder, atomic_path
with atomic_path(Path("table.parquet")) as file, atomic_folder(Path("folder")) as folder:
    file.write_text("half")
    (folder / "inside").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path)
    left = set(tmp_path.iterdir())
    assert len(left) == 2
    elsewhere = tmp_path / ".table.00000000-1-0123abcd.part.parquet"  # of another machine that shares the folder
    elsewhere.touch()
    (tmp_path / ".name.part.txt").touch()  # a user's own
    with atomic_path(tmp_path / "b.txt") as mine, atomic_folder(tmp_path / "c") as folder:
        mine.touch()
        sweep(tmp_path)
        assert mine.exists()
        assert folder.exists()
    assert {path.name for path in tmp_path.iterdir()} == {elsewhere.name, ".name.part.txt", "b.txt", "c"}


def test_whose_lock_is_held_is_swept_whoever_wrote_it(tmp_path: Path) -> None:
    ours, other, users = tmp_path / "a[1].parquet", tmp_path / "a1.parquet", tmp_path / ".a[1].part.parquet"
    users.touch()
    with atomic_path(ours) as first, atomic_path(other) as second:
        first.touch()
        second.touch()
        elsewhere = tmp_path / re.sub(r"[0-9a-f]{8}-\d+-", "0badc0de-1-", first.name)
        elsewhere.touch()
        sweep_locked(tmp_path, ours)
        assert set(tmp_path.iterdir()) == {second, users}
        elsewhere.touch()
        sweep_locked(tmp_path)
        assert set(tmp_path.iterdir()) == {users}
        first.touch()  # so that both blocks end well
        second.touch()


def test_temporary_folders_of_killed_processes_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = """
import os, signal, tempfile
from ganvert.base.files import temporary_prefix
folder = tempfile.mkdtemp(prefix=temporary_prefix("ganvert-x"), dir=".")
open(os.path.join(folder, "photograph"), "w").close()
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = subprocess.Popen([sys.executable, "-c", killed], cwd=tmp_path)
    process.wait()
    (left,) = tmp_path.iterdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = Path(tempfile.mkdtemp(prefix=temporary_prefix("ganvert-x")))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    link = left.with_name(left.name + "x")  # nothing is followed
    link.symlink_to(outside)
    assert sweep_temporary("ganvert-y") == []
    assert left.exists()
    assert sweep_temporary("ganvert-x") == [process.pid]
    assert {path.name for path in tmp_path.iterdir()} == {mine.name, "outside"}
    assert (outside / "kept").exists()


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        pass


def test_sha256(tmp_path: Path) -> None:
    data = b"ganvert" * 300_000  # more than one piece
    (tmp_path / "a").write_bytes(data)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_names_for_files_differ_and_are_bounded(tmp_path: Path) -> None:
    long = "x" * 100 + "\N{GREEK SMALL LETTER ALPHA}" * 100
    given = ["me", "ME", "me-2", "a/b:c", "", "..", "\udcff", long + "1", long + "2"]
    names = file_names(given)
    assert names[:4] == ["me", "ME-2", "me-2-2", "a_b_c"]
    assert len({name.casefold() for name in names}) == len(given)
    for name in names:
        (tmp_path / f"own-{name}_detail-{name}.png").touch()  # no name that a file system refuses
    assert names[7].endswith("1") and names[8].endswith("2") and "..." in names[7]


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "é" * 125 + "x.png"])
def test_names_of_255_bytes_can_be_written(tmp_path: Path, name: str) -> None:
    with atomic_path(tmp_path / name) as temporary:
        temporary.touch()
    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    "names",
    [
        ["a", "a"],
        ["a", "A"],
        ["x" * 300 + "a", "x" * 300 + "b"],
        ["a/b", "a_b"],
        ["é" * 99, "\udcff" * 99],
        ["\0", "_"],
    ],
)
def test_names_for_files_differ_and_are_short(tmp_path: Path, names: list[str]) -> None:
    shown = file_names(names)
    for name in shown:
        (tmp_path / f"own-{name}_detail-{name}_and_more.png").touch()
    assert len({name.lower() for name in shown}) == len(names)


def test_long_names(tmp_path: Path) -> None:
    name = "α" * 125  # of 250 bytes; file systems allow 255
    with atomic_folder(tmp_path / name) as folder:
        (folder / "a").touch()
    with atomic_path(tmp_path / name / name) as file:
        file.touch()
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["a", name]


def test_json_is_read_by_strict_parsers_too(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    losses = ({"loss": math.nan, "step": 1}, {"loss": np.float64(-math.inf), "step": 2}, {"loss": 0.5, "step": 3})
    write_json(path, {"training": losses, "unit": math.inf, "name": "NaN", "count": 7})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(path.read_text(), parse_constant=refuse) == {
        "training": [{"loss": None, "step": 1}, {"loss": None, "step": 2}, {"loss": 0.5, "step": 3}],
        "unit": None,
        "name": "NaN",
        "count": 7,
    }
