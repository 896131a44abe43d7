"""The pipeline of dvc.yaml as a Prefect flow: `python -m flows.reproduce [TARGET...] [--force] [--root FOLDER]`.

One task run per DVC stage, in DVC's order, with DVC's decision about what is stale:

- `Cached`: nothing changed, and DVC was not started (but for a stage that always runs: it wrote what was there);
- `Restored`: DVC had the outputs of exactly these inputs in its run cache and restored them;
- `Completed`: it ran;
- `Failed`: it ran and failed; stages that depend on it do not run, other branches do;
- `Crashed`: it was killed while it ran, or DVC or their guard was; for other stages as Failed;
- `NotReady`: something it depends on failed.
"""

# No `from __future__ import annotations` here: where Prefect loads this file by its path, it is not in sys.modules, and
# annotations that are strings (the flow's parameters) cannot be resolved.

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from flows import settings  # noqa: F401  (before prefect, which reads its environment when imported)

# isort: split
from prefect import flow, get_run_logger, runtime, task
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Crashed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows import command, pipeline, publish
from flows.mend import MENDED, mend
from flows.once import run_once

CACHED, RESTORED, RAN = "Cached", "Restored", "Completed"


@dataclass(frozen=True)
class Done:
    """How a stage ended (one of CACHED, RESTORED, RAN) and in how many seconds."""

    outcome: str
    seconds: float


def run_name() -> str:
    """Return the name of the flow run, made of its parameters."""
    parameters = runtime.flow_run.parameters
    return " ".join(["reproduce", *(parameters["targets"] or ["all"]), *(["--force"] if parameters["force"] else [])])


def bring_up_to_date(root: Path = Path(), targets: list[str] | None = None, force: bool = False) -> State[None]:
    """Bring the DVC pipeline up to date, one task per stage.

    Args:
        root: a folder of the DVC project.
        targets: stages, groups of stages (`invert`) or outputs to bring up to date, with all they need; empty is all.
        force: run every one of these stages, changed or not.
    """
    root = pipeline.project_root(root)
    stages = pipeline.read(root, targets)
    stale = {stage.name for stage in stages} if force else pipeline.stale(root, stages)
    get_run_logger().info("%d of %d stages are stale: %s", len(stale), len(stages), ", ".join(sorted(stale)) or "none")
    futures: dict[str, PrefectFuture[Any]] = {}
    with command.end_all_on_error():
        for stage in stages:
            upstream = [futures[name] for name in stage.upstream]
            # Named here too: a task that never starts never evaluates its `task_run_name`.
            named = run_stage.with_options(name=stage.name)
            futures[stage.name] = named.submit(stage, root, stage.name in stale, force, upstream)
        wait(list(futures.values()))
    states = {name: future.state for name, future in futures.items()}
    if stages:
        publish.summary(root, stages, [_row(name, state) for name, state in states.items()])
    failed = [name for name, state in states.items() if state.is_failed()]
    crashed = [name for name, state in states.items() if state.is_crashed()]
    if failed or crashed:
        waiting = [name for name, state in states.items() if not state.is_final()]
        ends = [f"{', '.join(names)} {how}" for names, how in ((failed, "failed"), (crashed, "crashed")) if names]
        also = f"; not run because of that: {', '.join(waiting)}" if waiting else ""
        return (Failed if failed else Crashed)(message=f"{' and '.join(ends)}, see the log{also}")
    return Completed(message=f"{len(stages)} stages are up to date")


# Not a decorator: `flows.serve` sends the function itself to other processes, by its name.
reproduce = flow(
    name="reproduce", flow_run_name=run_name, task_runner=cast(TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner())
)(bring_up_to_date)


@task(task_run_name="{stage.name}")
def run_stage(stage: pipeline.Stage, root: Path, stale: bool, force: bool, upstream: list[Any]) -> State[Done]:
    """Bring one stage up to date and publish its metrics and pictures.

    A stage that was clean when the flow began is skipped only if everything upstream was skipped too: a stage that ran
    or was *restored* has other outputs than those that were checked.
    """
    logger = get_run_logger()
    start = time.monotonic()
    if stale or any(done.outcome != CACHED for done in upstream):
        before = _contents(root, stage) if stage.always else None
        try:
            outcome = _repro(stage, root, force)
            if before is not None and before == _contents(root, stage):
                outcome = CACHED
        # Returned and not raised: raising would log a traceback through Prefect.
        except command.KilledError as error:
            return Crashed(message=f"stage {stage.name}: {error}")
        except command.CommandError as error:
            return Failed(message=f"stage {stage.name}: {error}")
    else:
        outcome = CACHED
        logger.info("nothing changed since it last ran")
    publish.outputs(root, stage, logger)
    return Completed(name=outcome, data=Done(outcome, time.monotonic() - start))


def _repro(stage: pipeline.Stage, root: Path, force: bool) -> str:
    """Have DVC run the stage if it is stale; returns the outcome."""
    # Stages that run in parallel compete for DVC's lock, which is held for moments: wait for it, do not fail.
    dvc = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item"]
    logger = get_run_logger()
    outcome = RAN

    def on_line(line: str) -> None:
        nonlocal outcome
        if line.endswith(f"'{stage.name}' didn't change, skipping"):
            outcome = CACHED
        elif line == f"Stage '{stage.name}' is cached - skipping run, checking out outputs":
            outcome = RESTORED
        logger.info("%s", line)

    flags = ["--force"] if force else []
    for path in mend(root):
        logger.warning(MENDED, path)
    command.stream([*dvc, *flags, stage.name], root, on_line, slot=gpu_slot() if stage.gpu else None)
    return outcome


def _contents(root: Path, stage: pipeline.Stage) -> dict[Path, bytes]:
    """Return the outputs of a stage that are files."""
    return {out: (root / out).read_bytes() for out in stage.outs if (root / out).is_file()}


def gpu_slot() -> Path:
    """Return the lock file of the GPU slot: one per user and machine, for all projects and flow runs."""
    return Path(tempfile.gettempdir()) / f"ganvert-gpu-{os.getuid()}.lock"


def _row(name: str, state: State[Done]) -> dict[str, str]:
    done = state.result(raise_on_failure=False) if state.is_completed() else None
    seconds = f"{done.seconds:.1f}" if isinstance(done, Done) else ""
    return {"stage": f"`{name}`", "state": state.name or state.type.value, "seconds": seconds}


def main(argv: list[str] | None = None) -> int:
    """Run the flow once; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.reproduce",
        description="Bring the DVC pipeline up to date as a Prefect flow; without a Prefect server it starts its own.",
        epilog="example: python -m flows.reproduce report",
    )
    parser.add_argument("targets", nargs="*", help="stages, groups of stages or outputs; default: everything")
    parser.add_argument("--root", type=Path, default=Path(), help="a folder of the DVC project (default: here)")
    parser.add_argument("--force", action="store_true", help="run every one of these stages, changed or not")
    arguments = parser.parse_args(argv)
    return run_once(lambda: reproduce(arguments.root, arguments.targets or None, arguments.force, return_state=True))


if __name__ == "__main__":
    sys.exit(main())
