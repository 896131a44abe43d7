"""The flow on a small real DVC project, with a real Prefect server that lives as long as the test."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # dvc's, prefect's and the server's
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DVC_YAML = """
stages:
  first:
    cmd: echo first at work && grep first params.yaml > first.txt
    params: [first]
    outs: [first.txt]
    meta: {gpu: true}
  second:
    cmd: grep -q "good second" params.yaml && cat first.txt > second.txt
    deps: [first.txt]
    params: [second]
    outs: [second.txt]
  third:
    cmd: mkdir -p plots && cp second.txt plots/plot.png && cp second.txt report.html && echo '{"a":{"b":1.5}}' > m.json
    deps: [second.txt]
    outs: [plots, report.html]
    metrics: [{m.json: {cache: false}}]
plots: [plots]
"""


def dvc(root: Path, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, check=True, capture_output=True
    ).stdout.decode()


def set_params(root: Path, first: str, second: str) -> None:
    (root / "params.yaml").write_text(f"first: first {first}\nsecond: {second}\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from flows import settings  # noqa: F401  (before prefect)

    # isort: split
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


def run(root: Path, **parameters: Any) -> tuple[dict[str, str], str]:
    """Run the flow; returns the state name of every stage, and the flow's with its message."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterFlowRunId

    from flows.reproduce import reproduce

    state = reproduce(root, **parameters, return_state=True)
    stages = {}
    with get_client(sync_client=True) as client:
        of_run = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[state.state_details.flow_run_id]))
        for task_run in client.read_task_runs(task_run_filter=of_run):
            stages[task_run.name.partition("-")[0]] = task_run.state.name
    return stages, f"{state.name}: {state.message}"


def artifact(key: str) -> Any:
    from prefect.artifacts import Artifact

    found = Artifact.get(key)
    assert found is not None
    return found.data


def test_the_flow_runs_what_dvc_would_run(project: Path, server: None) -> None:
    set_params(project, "1", "good second")
    stages, flow = run(project)
    assert stages == dict.fromkeys(["first", "second", "third"], "Completed"), flow
    assert dvc(project, "status", "--json").strip() == "{}"
    assert json.loads(artifact("m-json")) == [{"metric": "a.b", "value": 1.5}]
    assert artifact("plots-plot-png").startswith("data:image/png;base64,")
    assert "`third` | Completed" in artifact("summary") and (project / "report.html").as_uri() in artifact("summary")

    stages, _ = run(project)
    assert stages == dict.fromkeys(["first", "second", "third"], "Cached")
    assert "`first` | Cached | 0." in artifact("summary")  # DVC was not started for it, which takes longer

    set_params(project, "1", "good second, changed")  # the same output: what comes after it is left alone
    stages, _ = run(project)
    assert stages == {"first": "Cached", "second": "Completed", "third": "Cached"}

    set_params(project, "2", "good second, changed")
    stages, _ = run(project)
    assert stages == dict.fromkeys(["first", "second", "third"], "Completed")

    # Back to what DVC has seen: it restores the outputs. A restored stage is no unchanged one, so nothing after it
    # may count as unchanged because it was clean before.
    set_params(project, "1", "good second, changed")
    stages, _ = run(project)
    assert stages == dict.fromkeys(["first", "second", "third"], "Restored")
    assert (project / "report.html").read_text() == "first: first 1\n"
    assert dvc(project, "status", "--json").strip() == "{}"

    set_params(project, "1", "bad")
    stages, flow = run(project)
    assert stages == {"first": "Cached", "second": "Failed", "third": "NotReady"}
    assert flow.startswith("Failed: second failed") and "not run because of that: third" in flow

    stages, flow = run(project, targets=["first"], force=True)
    assert stages == {"first": "Completed"}, flow


def test_a_served_run_can_read_its_parameters() -> None:
    from flows import settings  # noqa: F401  (before prefect)

    # isort: split
    from prefect.flows import load_flow_from_entrypoint

    file = Path(__file__).resolve().parents[2] / "flows" / "reproduce.py"
    flow = load_flow_from_entrypoint(f"{file}:reproduce")  # by file, as the served deployment does
    assert flow.validate_parameters({"root": "."})["root"] == Path()
