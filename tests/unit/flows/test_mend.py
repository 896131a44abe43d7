"""Files that a kill of DVC cut off are removed, and only these."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.mend import mend

RECORD = """schema: '2.0'
stages:
  copy:
    cmd: cp a b
    deps:
    - path: a
      hash: md5
      md5: 60b725f10c9c85c70d97880dfe8191b3
      size: 2
"""


@pytest.fixture(name="project")
def project_fixture(tmp_path: Path) -> Path:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("text", ["", RECORD[: RECORD.index(" cp")], RECORD[: RECORD.index(" a\n      hash")] + " '"])
def test_a_record_that_is_cut_off_is_removed(project: Path, text: str) -> None:
    record = project / "dvc.lock"
    record.write_text(text)
    assert mend(project) == [record]
    assert not record.exists()


@pytest.mark.parametrize("text", ["", '{"data/a": {"wri'])
def test_a_lock_that_is_cut_off_is_removed(project: Path, text: str) -> None:
    (project / "dvc.lock").write_text(RECORD)
    lock = project / ".dvc/tmp/rwlock"
    lock.write_text(text)
    assert mend(project) == [lock]
    assert (project / "dvc.lock").read_text() == RECORD


def test_whole_files_and_other_folders_are_left(project: Path, tmp_path: Path) -> None:
    (project / "dvc.lock").write_text(RECORD)
    (project / ".dvc/tmp/rwlock").write_text("{}")
    assert mend(project) == []
    assert mend(tmp_path / "elsewhere") == []
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_dvc_goes_on_and_computes_nothing_again(tmp_path: Path) -> None:
    def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=tmp_path, capture_output=True, text=True)

    assert dvc("init", "-q", "--no-scm").returncode == 0
    (tmp_path / "a").write_text("1")
    (tmp_path / "dvc.yaml").write_text("stages: {copy: {cmd: cp a b && echo ran >> log, deps: [a], outs: [b]}}")
    assert dvc("repro").returncode == 0
    (tmp_path / "dvc.lock").write_text("")
    assert "validation failed" in dvc("repro").stderr
    assert mend(tmp_path) == [tmp_path / "dvc.lock"]
    assert dvc("repro").returncode == 0
    assert (tmp_path / "log").read_text() == "ran\n"
