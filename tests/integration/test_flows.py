"""The flows with a real Prefect server: the pipeline on a small real DVC project, an extraction on every runner."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

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


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    from flows import settings  # noqa: F401  (before prefect)

    # isort: split
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


def task_runs(state: Any) -> list[Any]:
    """Return the task runs of a flow run, given its last state."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterFlowRunId

    of_run = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        return list(client.read_task_runs(task_run_filter=of_run))


def run(root: Path, **parameters: Any) -> tuple[dict[str, str], str]:
    """Run the flow; returns the state name of every stage, and the flow's with its message."""
    from flows.reproduce import reproduce

    state = reproduce(root, **parameters, return_state=True)
    stages = {run.name.partition("-")[0]: run.state.name for run in task_runs(state)}
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
    assert artifact("plots-plot-png").startswith("![plot.png](data:image/png;base64,")
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


def test_a_stage_that_always_runs_is_cached_where_it_found_no_change(tmp_path: Path, server: None) -> None:
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  watch: {cmd: cat a.txt > seen.txt, always_changed: true, outs: [{seen.txt: {cache: false}}]}\n"
        "  copy: {cmd: cp seen.txt copy.txt, deps: [seen.txt], outs: [copy.txt]}\n"
    )
    (tmp_path / "a.txt").write_text("1")
    assert run(tmp_path)[0] == {"watch": "Completed", "copy": "Completed"}
    assert run(tmp_path)[0] == {"watch": "Cached", "copy": "Cached"}
    (tmp_path / "a.txt").write_text("2")
    assert run(tmp_path)[0] == {"watch": "Completed", "copy": "Completed"}
    assert (tmp_path / "copy.txt").read_text() == "2"


def test_where_dvc_is_killed_its_stage_ends_and_the_run_has_crashed(tmp_path: Path, server: None) -> None:
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    (tmp_path / "dvc.yaml").write_text("stages: {long: {cmd: exec sleep 300, outs: [never]}}\n")
    ended: list[psutil.Process] = []

    def at_work() -> list[psutil.Process]:
        found = []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found += [process] if process.cmdline() == ["sleep", "300"] else []
        return found

    def kill() -> None:
        ended.extend(within(120, at_work))
        parent = ended[0].parent()
        assert parent is not None
        parent.kill()  # the shell has become the stage, so this is DVC

    killer = threading.Thread(target=kill)
    killer.start()
    stages, flow = run(tmp_path)
    killer.join()
    assert stages == {"long": "Crashed"}
    assert flow == "Crashed: long crashed, see the log"
    assert within(10, lambda: not ended[0].is_running())


# --- extraction ------------------------------------------------------------------------------------------------------

PHOTOS = 7  # distinct ones of `photographs`
SHARD = 2  # photographs per shard


@pytest.fixture(scope="module")
def undisturbed(photographs: Path) -> dict[str, bytes]:
    """The tables of one process without Prefect, in one shard."""
    from stages.extract import assemble, job_of, outputs_of, plan, run_shard

    with contextlib.chdir(photographs):
        job = job_of("few")
        todo = plan(job, [Path("photos")], Path("plain"), PHOTOS)
        for shard in todo.shards():
            run_shard(job, shard, todo.work)
        assemble(todo.update(), outputs_of(job, Path("plain")))
    return tables_in(photographs / "plain")


def tables_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


def extract(root: Path, name: str, **parameters: Any) -> tuple[dict[str, tuple[str, int]], str]:
    """Run the flow with its own store and folder; returns state and tries of every task run, and the flow's state."""
    from flows import extract as module

    parameters = {"method": "few", "workers": 2, "shard": SHARD, **parameters}
    folders = {"out": f"out-{name}", "work": f"work-{name}", "root": root}
    state = module.extract(["photos"], **folders, **parameters, return_state=True)
    runs = {run.name: (run.state.name, run.run_count) for run in task_runs(state)}
    return runs, f"{state.name}: {state.message}"


def workers_at(work: Path, parent: int) -> list[psutil.Process]:
    """Descendants of a process that hold a shard of a work store."""
    found = []
    for process in psutil.Process(parent).children(recursive=True):
        with contextlib.suppress(OSError, psutil.Error):
            files = [str(file.readlink()) for file in Path(f"/proc/{process.pid}/fd").iterdir()]
            if any(file.startswith(str(work)) and "/locks/" in file for file in files):
                found.append(process)
    return found


def within(seconds: float, condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("runner", ["threads", "dask", "ray"])
def test_a_killed_worker_costs_nothing(
    photographs: Path, undisturbed: dict[str, bytes], server: None, runner: str
) -> None:
    """The tables of every runner are those of one process, byte for byte, also where a worker is killed at work."""
    killed: list[int] = []

    def kill() -> None:
        for process in within(400, lambda: workers_at(photographs / f"work-{runner}", os.getpid()))[:1]:
            process.kill()
            killed.append(process.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    shards, flow = extract(photographs, runner, runner=runner)
    killer.join()
    assert len(killed) == 1
    assert flow == f"Completed: {PHOTOS} pictures: {photographs / f'out-{runner}'}"
    assert [state for state, _ in shards.values()] == ["Completed"] * 4
    if runner == "threads":  # Dask and Ray give the shard to another worker themselves
        assert sorted(tries for _, tries in shards.values()) == [1, 1, 1, 2]
    assert tables_in(photographs / f"out-{runner}") == undisturbed

    summary = artifact("extraction")
    assert "| photos: ok | 6 |" in summary and "| photos: unreadable | 1 |" in summary
    assert "| duplicates left out | 1 |" in summary and "| photos/bad.png | unreadable | photos/bad.png: " in summary
    assert artifact("extraction-sample").startswith("![sample.png](data:image/jpeg;base64,")
    assert artifact("extraction-progress") == 100.0


def test_a_failed_shard_stops_no_other_and_is_done_when_the_flow_is_run_again(
    photographs: Path, undisturbed: dict[str, bytes], server: None
) -> None:
    from stages.extract import job_of, plan

    with contextlib.chdir(photographs):
        todo = plan(job_of("few"), [Path("photos")], Path("work-again"), SHARD)
        second = list(todo.shards())[1]
    blocked = todo.store.shards / f".{second.key}.part"
    blocked.touch()  # where the folder of the shard is to be written
    shards, flow = extract(photographs, "again", retries=0)
    assert sorted(state for state, _ in shards.values()) == ["Completed"] * 3 + ["Failed"]
    assert shards[f"shard {second.key:.8}"] == ("Failed", 1)
    assert flow.startswith(f"Failed: 1 shards failed\nshard {second.key:.8}: ") and "File exists" in flow
    assert "5 of 7 pictures are done and stay so" in flow
    assert not (photographs / "out-again").exists()

    blocked.unlink()
    shards, flow = extract(photographs, "again")
    assert shards == {f"shard {second.key:.8}": ("Completed", 1)}, flow
    assert tables_in(photographs / "out-again") == undisturbed
    assert "| computed | 2 |" in artifact("extraction") and "| done by other runs | 5 |" in artifact("extraction")

    shards, flow = extract(photographs, "again")
    assert shards == {} and flow.startswith("Completed")


@pytest.mark.parametrize("runner", ["threads", "ray"])  # dask ends its own as ray does, and each takes half a minute
def test_a_run_that_is_ended_takes_its_workers_with_it(photographs: Path, server: None, runner: str) -> None:
    from prefect.settings import get_current_settings

    work = photographs / f"work-ended-{runner}"
    options = ["--method", "long", "--out", "never", "--runner", runner, "--workers", "1", "--work", str(work)]
    environment = os.environ | {"PREFECT_API_URL": str(get_current_settings().api.url), "PYTHONPATH": str(ROOT)}
    with (photographs / f"{runner}.log").open("wb") as log:
        flow = subprocess.Popen(
            [sys.executable, "-m", "flows.extract", "photos", *options],
            cwd=photographs,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        at_work = within(120, lambda: flow.poll() is not None or workers_at(work, flow.pid))
        assert flow.poll() is None, (photographs / f"{runner}.log").read_text()
        flow.send_signal(signal.SIGTERM)
        assert flow.wait(60) == 143
        assert within(60, lambda: not any(process.is_running() for process in at_work))
    finally:
        flow.kill()
        flow.wait()


def test_few_shards_are_in_hand_at_a_time_and_lost_ones_are_tried_again(server: None) -> None:
    from prefect import flow

    from flows import extract as module
    from flows.progress import Progress
    from flows.runners import Runner
    from stages.extract import GanvertError, Shard, ShardResult, WorkerLostError

    at_work, most, tries, lock = set[str](), [0], list[str](), threading.Lock()
    drawn: list[int] = []
    together = threading.Barrier(3)

    def run(shard: Shard, on_progress: Callable[[float], None]) -> ShardResult:
        with lock:
            tries.append(shard.key)
            at_work.add(shard.key)
            most[0] = max(most[0], len(at_work))
        if shard.key in {"0", "1", "2"}:
            together.wait(60)
        with lock:
            at_work.discard(shard.key)
        if shard.key == "7" or (shard.key == "5" and tries.count("5") == 1):
            raise WorkerLostError(f"{shard.key} is lost")
        if shard.key == "9" or shard.key.startswith("disk"):
            raise GanvertError(f"{shard.key} is wrong")
        return ShardResult(shard.key, 1, 1, 0.0)

    class Todo:
        def __init__(self, prefix: str) -> None:
            self.prefix = prefix

        def shards(self) -> Iterator[Shard]:
            for i in range(60):
                drawn.append(i)
                yield Shard(f"{self.prefix}{i}", ())

    class Watched(Progress):
        shards, in_hand = 0, list[int]()

        def end(self, shard: str, *, done: int = 0, computed: int = 0, empty: int = 0, failed: int = 0) -> None:
            self.shards += 1

        def draw(self, *, now: bool = False) -> None:
            self.in_hand.append(len(drawn) - self.shards)

    @flow(task_runner=module.extract.task_runner)
    def mapped(prefix: str) -> dict[str, str]:
        return module.map_shards(Todo(prefix), Runner(lambda: 3, run), 2, Watched(60, 0))  # type: ignore[arg-type]

    failed = mapped("")
    assert failed.keys() == {"7", "9"} and "7 is lost" in failed["7"] and failed["9"] == "9 is wrong"
    assert (tries.count("5"), tries.count("7"), tries.count("9"), len(set(tries))) == (2, 3, 1, 60)
    assert len(drawn) == 60
    assert most[0] == 3 == max(Watched.in_hand)  # neither shards nor task runs wait in a queue

    drawn.clear()
    failed = mapped("disk")  # a cause that fails every shard fails the rest too
    assert module.IN_A_ROW <= len(drawn) == len(failed) <= module.IN_A_ROW + 2


# --- study -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def studied(photographs: Path, tmp_path: Path) -> Path:
    """A folder with the photographs, and a params.yaml that studies them by one method."""
    shutil.copytree(photographs / "photos", tmp_path / "photos")
    params = yaml.safe_load((photographs / "params.yaml").read_text())
    params["study"] |= {"photos": ["photos"], "methods": ["few"], "reference": None, "metrics": ["mse_64"]}
    params["study"]["sections"] = {"reconstruction": {}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path


def study(root: Path, **parameters: Any) -> tuple[list[str], str]:
    """Run the flow; returns the state names of its shards, and the flow's with its message."""
    from flows import study as module

    state = module.study(root=root, workers=2, **parameters, return_state=True)
    return [run.state.name for run in task_runs(state)], f"{state.name}: {state.message}"


def test_a_study_ends_in_its_page_and_is_not_computed_again(studied: Path, server: None) -> None:
    shards, flow = study(studied)
    page = studied / "reports" / "study" / "study.html"
    assert flow == f"Completed: {page}" and shards == ["Completed"]
    text = page.read_text()
    assert "MSE 64" in text and "photos/bad.png" in text
    pieces = {path: path.stat().st_mtime_ns for path in (studied / ".work" / "study").rglob("*.parquet")}
    assert len({path.parent for path in pieces}) == PHOTOS - 1  # one is unreadable

    lost = next(iter(pieces)).parent
    shutil.rmtree(lost)
    page.unlink()
    assert study(studied) == ([], flow)  # no shard is inverted again
    assert page.read_text() == text
    again = {path: path.stat().st_mtime_ns for path in (studied / ".work" / "study").rglob("*.parquet")}
    assert again.keys() == pieces.keys()
    assert {path.parent for path in pieces if again[path] != pieces[path]} == {lost}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["gone"]}, "gone"),
        ({"seeds": 0}, "seeds: wanted 1 or more, got 0"),
        ({"sections": {"strength": {"steps": 4}}}, "steps: wanted an odd number"),
        ({"photos": []}, "study.photos: wanted at least one"),
    ],
)
def test_a_study_with_a_wrong_option_ends_before_any_work(
    studied: Path, server: None, options: dict[str, Any], message: str
) -> None:
    params = yaml.safe_load((studied / "params.yaml").read_text())
    params["study"] |= options
    (studied / "params.yaml").write_text(yaml.safe_dump(params))
    shards, flow = study(studied)
    assert flow.startswith("Failed: ") and message in flow and shards == []
    assert {path.name for path in studied.iterdir()} == {"params.yaml", "photos"}
