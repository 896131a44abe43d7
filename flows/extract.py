"""Photographs to codes as a Prefect flow: `python -m flows.extract PHOTOS... --method METHOD --out FOLDER`.

Shards (some pictures each) are mapped over child processes of this machine, a Dask cluster or a Ray cluster
(`flows.runners`). Every unfinished shard is one task run. A finished shard stays finished whatever happens, so resuming
is running again with the same parameters. Tables are assembled when all shards are finished.
"""

# No `from __future__ import annotations` here: where Prefect loads this file by its path, it is not in sys.modules, and
# annotations that are strings (the flow's parameters) cannot be resolved.

import argparse
import contextlib
import itertools
import queue
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field

from flows import settings  # noqa: F401  (before prefect, which reads its environment when imported)

# isort: split
from prefect import Task, flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows import publish
from flows.once import run_once
from flows.progress import UPDATE, Progress
from flows.runners import RUNNERS, OnProgress, Runner, RunnerName, add_worker_options
from stages.extract import (
    WORK,
    GanvertError,
    Plan,
    Shard,
    ShardResult,
    WorkerLostError,
    assemble,
    check_codes,
    check_output,
    job_of,
    outputs_of,
    pipeline_photos,
    plan,
    shard_size,
    statuses,
    write_sample,
)

MOST_SLOTS = 4096  # threads of the flow, each waiting for a worker; no more are started than there are workers
IN_A_ROW = 20  # shards that fail without a success between them: the rest would too (a full disk, a missing file)
REASONS = 10  # how many pictures without a code, and failed shards, are named

Positive = Annotated[int, Field(ge=1)]


class Piece:
    """A shard and its runner. Not a dataclass: Prefect would inspect every field of a task's parameters."""

    def __init__(self, shard: Shard, runner: Runner, on_progress: OnProgress) -> None:
        self.shard, self.runner, self.on_progress = shard, runner, on_progress


def run_name() -> str:
    """Return the name of the flow run, made of its parameters."""
    parameters = runtime.flow_run.parameters
    photos = [Path(path).name for path in parameters["photos"]] or ["the pipeline's photographs"]
    more = f" and {len(photos) - 2} more" if len(photos) > 2 else ""
    return f"extract {', '.join(photos[:2])}{more}: {parameters['method']}"


def worker_was_lost(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Return whether a failed task is worth another try: its worker was lost, and the shard itself may be fine."""
    return isinstance(state.result(raise_on_failure=False), WorkerLostError)


@task(
    name="shard",
    task_run_name="shard {piece.shard.key:.8}",
    cache_policy=NO_CACHE,  # finished shards are found by their content and never come here
    retry_condition_fn=worker_was_lost,
)
def do_shard(piece: Piece) -> State[ShardResult]:
    """Have a runner do one shard."""
    try:
        return Completed(data=piece.runner.run(piece.shard, piece.on_progress))
    except WorkerLostError as error:
        if not piece.runner.ending.is_set():
            raise  # Prefect tries again
        return Failed(message=str(error))
    except GanvertError as error:
        # Returned and not raised: raising would log a traceback through Prefect.
        return Failed(message=str(error))


def photographs_to_codes(
    photos: list[str] = [],  # noqa: B006  (Prefect shows it as the default)
    method: str = "encoder",
    out: Path = Path("data/extracted"),
    runner: RunnerName = "threads",
    workers: Positive | None = None,
    address: str | None = None,
    shard: Positive | None = None,
    retries: Annotated[int, Field(ge=0)] = 2,
    device: str | None = None,
    threads: Positive = 1,
    work: Path = WORK,
    root: Path = Path(),
) -> State[None]:
    """Align, invert and score photographs, shard by shard. Run it again to resume.

    Args:
        photos: folders, pictures, .zip, .tar, .parquet with pictures, lists of paths (.txt, .csv, .jsonl); empty takes
            those of the pipeline (`align.photos` of params.yaml).
        method: a preset.
        out: folder for the tables.
        runner: threads (child processes of this machine), dask or ray.
        workers: shards in parallel; None is one per GPU, one for every `threads` cores of a CPU, a whole cluster.
        address: of a running cluster, e.g. tcp://HOST:8786 (dask), HOST:6379 (ray); None starts one on this machine.
        shard: photographs per shard; None takes the value of params.yaml.
        retries: how often a shard is tried again after its worker was lost.
        device: auto, cpu, cuda or cuda:N; None takes the value of params.yaml.
        threads: CPU cores per worker. The last digits of sums depend on it.
        work: folder of finished shards; every worker must see it.
        root: folder with params.yaml; other paths are relative to it.
    """
    logger, start = get_run_logger(), time.monotonic()
    with contextlib.chdir(root):
        try:
            job = job_of(method, {"device": device, "threads": threads})
            inputs = [Path(path) for path in photos] or pipeline_photos()
            check_output(out, inputs)
            todo = plan(job, inputs, work, shard or shard_size())
            logger.info(
                "%d pictures, %d duplicates left out; %d finished before; %d shards to do",
                *(todo.total, todo.scan.duplicates, todo.finished, todo.shards_left),
            )
            progress, failed = Progress(todo.total, todo.finished), dict[str, str]()
            if todo.shards_left:
                with RUNNERS[runner](job, todo.work, workers, address) as started:
                    failed = map_shards(todo, started, retries, progress)
            progress.draw(now=True)
            todo = todo.update()
            if failed:
                return _failed(todo, failed)
            outputs = outputs_of(job, out)
            check_codes(assemble(todo, outputs), outputs)
            write_sample(todo, out / "sample.png")
        except GanvertError as error:
            return Failed(message=str(error))
        publish.extraction(out.absolute(), *_summary(todo, progress, out, time.monotonic() - start))
        return Completed(message=f"{todo.total} pictures: {out.absolute()}")


# Not a decorator: `flows.serve` sends the function itself to other processes, by its name.
extract = flow(
    name="extract",
    flow_run_name=run_name,
    task_runner=cast(TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner(MOST_SLOTS)),
)(photographs_to_codes)


def map_shards(todo: Plan, runner: Runner, retries: int, progress: Progress) -> dict[str, str]:
    """Have every unfinished shard done; returns the reasons of those that failed, by key.

    No more are submitted to Prefect at a time than there are workers: there may be tens of thousands. An early end
    (Ctrl-C, a cancelled run, SIGTERM) is made known to the runner: workers lost from then on were ended on purpose.
    """
    try:
        return _map_all(todo, runner, retries, progress)
    except BaseException:
        runner.ending.set()
        raise


def _map_all(todo: Plan, runner: Runner, retries: int, progress: Progress) -> dict[str, str]:
    """Submit shards as workers become free, and wait for all of them."""
    named = do_shard.with_options(retries=retries)
    shards, running = todo.shards(), dict[PrefectFuture[Any], Shard]()
    ended: queue.SimpleQueue[PrefectFuture[Any]] = queue.SimpleQueue()
    failed: dict[str, str] = {}
    in_a_row = 0
    while True:
        free = min(runner.slots(), MOST_SLOTS) - len(running) if in_a_row < IN_A_ROW else 0
        for shard in itertools.islice(shards, max(free, 0)):
            future = named.submit(Piece(shard, runner, partial(progress.part, shard.key)))
            running[future] = shard
            future.add_done_callback(ended.put)
        if not running:
            return failed
        progress.draw()
        with contextlib.suppress(queue.Empty):
            future = ended.get(timeout=UPDATE)
            shard = running.pop(future)
            future.wait()
            result = future.state.result(raise_on_failure=False)
            if isinstance(result, ShardResult):
                in_a_row = 0
                computed, empty = (0, 0) if result.skipped else (result.images, result.images - result.ok)
                progress.end(shard.key, done=result.images, computed=computed, empty=empty)
            else:
                in_a_row += 1
                progress.end(shard.key, failed=len(shard.members))
                failed[shard.key] = future.state.message or str(result)


def _failed(todo: Plan, failed: Mapping[str, str]) -> State[None]:
    """Return the final state of a run with failed shards: which, and why."""
    named = [f"shard {key:.8}: {reason}" for key, reason in itertools.islice(failed.items(), REASONS)]
    named += [f"and {len(failed) - REASONS} more"] if len(failed) > REASONS else []
    if (left := todo.shards_left - len(failed)) > 0:
        named.append(f"{left} shards were not tried, because {IN_A_ROW} in a row had failed")
    named.append(f"{todo.finished} of {todo.total} pictures are done and stay so; run it again to resume")
    return Failed(message="\n".join([f"{len(failed)} shards failed", *named]))


def _summary(todo: Plan, progress: Progress, out: Path, seconds: float) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return what `publish.extraction` shows: a line for each count, and the first pictures without a code."""
    lines = {
        "pictures": f"{todo.total:,}",
        "duplicates left out": f"{todo.scan.duplicates:,}",
        "computed": f"{progress.computed:,}",
        "done by other runs": f"{todo.total - progress.computed:,}",
        "seconds": f"{seconds:,.1f}",
        "images/s": f"{progress.computed / seconds:,.2f}",
    }
    counts, reasons = statuses(out, REASONS)
    return lines | {name: f"{count:,}" for name, count in counts.items()}, reasons


def main(argv: list[str] | None = None) -> int:
    """Run the flow once; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.extract",
        description="Photographs to codes as a Prefect flow; without a Prefect server it starts its own. "
        "Run it again to resume.",
        epilog="example: python -m flows.extract data/photos --method encoder --out data/extracted --runner dask",
    )
    parser.add_argument("photos", nargs="+", help="folders, pictures, .zip, .tar, .parquet, lists of paths")
    parser.add_argument("--method", required=True, help="a preset; `ganvert methods` lists them")
    parser.add_argument("--out", required=True, type=Path, help="folder for the tables")
    add_worker_options(parser)
    parser.add_argument("--shard", type=int, help="photographs per shard; default: params.yaml")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N; default: params.yaml")
    parser.add_argument("--work", type=Path, default=WORK, help=f"where finished shards are kept; default: {WORK}")
    arguments = parser.parse_args(argv)
    return run_once(lambda: extract(**vars(arguments), return_state=True))


if __name__ == "__main__":
    sys.exit(main())
