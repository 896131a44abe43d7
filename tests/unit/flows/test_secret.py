"""The secret of a server: who gets which, and who can read it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import secret

ROOT = Path(__file__).resolve().parents[3]
OWN = "http://127.0.0.1:4200/api"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("PREFECT")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    secret.make_private()
    for name in (secret.SERVER, secret.CLIENT):  # what `settle` sets is taken back
        monkeypatch.setenv(name, "")
        del os.environ[name]
    return tmp_path / "home"


def test_a_temporary_server_gets_a_new_secret_every_time() -> None:
    secret.settle()
    first = os.environ[secret.SERVER]
    assert os.environ[secret.CLIENT] == first and len(first) > 40
    for name in (secret.SERVER, secret.CLIENT):
        del os.environ[name]
    secret.settle()
    assert os.environ[secret.SERVER] == os.environ[secret.CLIENT] != first


def test_a_secret_that_is_set_counts_on_both_sides() -> None:
    os.environ[secret.SERVER] = "me:mine"
    secret.settle()
    assert os.environ[secret.CLIENT] == "me:mine"


def test_only_the_server_that_published_a_secret_is_sent_it(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = 'ganvert:"<&#%'
    path = secret.publish(4200, odd)
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    assert secret.published(OWN) == odd
    for other in ("http://127.0.0.1:4201/api", "http://evil.example:4200/api", "https://127.0.0.1:4200/api"):
        assert secret.published(other) is None
        monkeypatch.setenv("PREFECT_API_URL", other)
        secret.settle()
        assert secret.CLIENT not in os.environ and secret.SERVER not in os.environ
    monkeypatch.setenv("PREFECT_API_URL", OWN)
    secret.settle()
    assert os.environ[secret.CLIENT] == odd and secret.SERVER not in os.environ


def test_a_server_of_the_active_profile_is_sent_no_secret_of_ours(home: Path) -> None:
    (home / "profiles.toml").write_text(
        'active = "team"\n[profiles.team]\nPREFECT_API_URL = "http://team:4200/api"\nPREFECT_API_AUTH_STRING = "a:b"\n'
    )
    secret.settle()
    assert secret.CLIENT not in os.environ


def test_prefects_folder_becomes_private(home: Path) -> None:
    home.chmod(0o755)
    for name in ("prefect.db", "prefect.db-wal"):
        (home / name).touch()
        (home / name).chmod(0o644)
    secret.make_private()
    assert [path.stat().st_mode & 0o777 for path in (home, *sorted(home.iterdir()))] == [0o700, 0o600, 0o600]


def test_a_page_of_somebody_else_is_replaced_and_not_written_into(home: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").touch(0o666)
    page = secret.page(4200)
    page.parent.mkdir()
    page.symlink_to(tmp_path / "theirs")
    secret.publish(4200, "ganvert:x")
    assert not page.is_symlink() and (tmp_path / "theirs").read_text() == ""


def test_a_folder_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = os.environ | {"PREFECT_HOME": str(tmp_path / "file" / "home"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "flows.ui"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "set PREFECT_HOME to a folder of your own" in done.stderr
