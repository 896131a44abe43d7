"""What DVC watches: every file that params.yaml lists, wherever it lies; in a copy of the project without Git."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PLAIN = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "DVC_NO_ANALYTICS": "1"}

pytestmark = pytest.mark.slow


def run(*command: str, cwd: Path) -> str:
    """Run a command in a shell that knows nothing of the environment."""
    done = subprocess.run(command, cwd=cwd, env=PLAIN, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a source archive holds, unpacked inside a Git repository, with the environment that `make` makes."""
    around = tmp_path_factory.mktemp("around")
    run("git", "init", "-q", cwd=around)
    folder = around / "ganvert"
    skip = shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local")
    for name in ("ganvert", "stages", "flows", "presets", ".dvc"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in (
        "dvc.yaml",
        "params.yaml",
        ".dvcignore",
        ".gitignore",
        "Makefile",
        "pyproject.toml",
        "constraints.txt",
    ):
        shutil.copy(ROOT / name, folder / name)
    for name in ("data/photos", "data/inputs", "data/sample_photos", "elsewhere"):
        (folder / name).mkdir(parents=True)
    (folder / ".venv/bin").mkdir(parents=True)
    # Links would lose the environment: Python looks for it beside the program that it was started as.
    for name in ("python", "dvc"):
        program = folder / ".venv/bin" / name
        target = Path(sys.executable) if name == "python" else Path(sys.executable).with_name("dvc")
        program.write_text(f'#!/bin/sh\nexec {target} "$@"\n')
        program.chmod(0o755)
    run("make", "-s", "scm", "READY=.venv/bin/python", cwd=folder)
    return folder


def stale(folder: Path) -> set[str]:
    """Which of two stages DVC would run, after what watches their files."""
    run(".venv/bin/dvc", "repro", "-q", "--single-item", "watch", cwd=folder)
    return set(json.loads(run(".venv/bin/dvc", "status", "--json", "align", "sample", cwd=folder) or "{}"))


def test_dvc_notices_what_changes_in_files_that_params_lists_wherever_they_lie(archive: Path) -> None:
    for name in ("elsewhere/b.jpg", "known.parquet", "more.csv"):
        (archive / name).write_text("first")
    os.mkfifo(archive / "elsewhere/pipe.png")  # DVC itself would wait for somebody to write into it
    (archive / "elsewhere/nowhere.png").symlink_to("gone.png")
    Path(os.fsdecode(os.fsencode(archive) + b"/elsewhere/caf\xe9.png")).touch()
    params = yaml.safe_load((archive / "params.yaml").read_text())
    params["generator"]["path"] = "known.parquet"  # no stage that reads it runs here
    params["align"]["photos"] = ["elsewhere"]
    params["sample"] |= {"known": "known.parquet", "tables": ["more.csv"]}
    params["train_encoder"]["encoders"] = {}
    params["invert"] |= {"methods": {"w": "known.parquet"}, "first": {}}
    params["edit"] |= {"method": "w"}
    (archive / "params.yaml").write_text(yaml.safe_dump(params))
    (archive / "data/assets").mkdir()
    stages = yaml.safe_load((archive / "dvc.yaml").read_text())["stages"]
    for out in (*stages["align"]["outs"], *stages["sample"]["outs"]):
        (archive / out).touch()
    run(".venv/bin/dvc", "repro", "-q", "--single-item", "watch", cwd=archive)
    run(".venv/bin/dvc", "commit", "-q", "-f", "align", "sample", cwd=archive)  # as if they had run
    assert stale(archive) == set()
    (archive / "elsewhere/new.jpg").touch()
    assert stale(archive) == {"align"}
    (archive / "more.csv").write_text("another text")
    assert stale(archive) == {"align", "sample"}
    # The repository around it is not ours.
    assert run("git", "status", "--porcelain", cwd=archive.parent) == "?? ganvert/\n"
