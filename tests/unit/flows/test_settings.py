"""Nothing that the project starts calls home: the switches of DVC, Prefect, Ray, pip and npm are off."""

from __future__ import annotations

import ast
import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows import settings

ROOT = Path(__file__).parents[3]
# Whether each tool would send statistics, as the tool itself decides; with `flows.settings` and without.
ASK = """
import json, sys
if "settings" in sys.argv:
    from flows import settings
from dvc.analytics import is_enabled
from prefect.analytics import _is_telemetry_enabled
from prefect.settings import get_current_settings
print(json.dumps([is_enabled(), _is_telemetry_enabled(), get_current_settings().server.analytics_enabled]))
"""


def asked(cwd: Path, home: Path, *arguments: str) -> list[bool]:
    """Return what DVC, Prefect's client and Prefect's server answer in a process that knows no variable of ours."""
    own = {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ASK, *arguments]
    done = subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_tools_themselves_say_that_they_send_nothing(tmp_path: Path) -> None:
    assert asked(tmp_path, tmp_path) == [True, True, True]  # elsewhere, without our settings, they would
    assert asked(ROOT, tmp_path, "settings") == [False, False, False]


def test_dvc_is_quiet_in_this_project_however_it_is_started() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".dvc/config")
    core = {key.strip(): value for key, value in config["core"].items()}
    assert core["analytics"] == core["check_update"] == "false"


def test_flows_switch_off_what_has_a_switch() -> None:
    off = {"DO_NOT_TRACK": "1", "DVC_NO_ANALYTICS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    off |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false"}
    assert off.items() <= settings.DEFAULTS.items()


@pytest.mark.parametrize("module", ["extract", "reproduce", "serve", "server", "ui"])
def test_settings_are_imported_before_prefect(module: str) -> None:
    """Prefect reads its environment when it is imported; these are the modules that a process starts with."""
    tree = ast.parse((ROOT / f"flows/{module}.py").read_text())
    names = [
        f"{node.module}.{alias.name}" for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    first = names.index("flows.settings")
    readers = ("prefect", "dask", "distributed", "ray", "flows.progress", "flows.publish", "flows.serve")
    assert not [name for name in names[:first] if name.startswith(readers)]


def test_pip_and_npm_do_not_ask_for_their_own_new_versions() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert makefile.count("pip install") == len(re.findall(r"pip install .*--disable-pip-version-check", makefile)) == 1
    assert "--no-update-notifier" in (ROOT / "ganvert/assets/sources.py").read_text()
