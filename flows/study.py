"""The study of params.yaml as a Prefect flow: `python -m flows.study`.

Every inversion of the study is mapped over the runners of `flows.extract`, a cell (a method with a seed) after the
other, one task run a shard. What is measured on the codes, and the page, are made in the flow's own process. Finished
shards and measurements stay finished, so resuming is running again.
"""

# No `from __future__ import annotations` here, as in flows.extract.

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field

from flows import settings  # noqa: F401  (before prefect, which reads its environment when imported)

# isort: split
from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.extract import MOST_SLOTS, Positive, map_shards
from flows.once import run_once
from flows.progress import Progress
from flows.runners import RUNNERS, RunnerName, add_worker_options
from stages.extract import GanvertError, plan
from stages.study import WORK, cells, finish


def methods_on_photographs(
    runner: RunnerName = "threads",
    workers: Positive | None = None,
    address: str | None = None,
    retries: Annotated[int, Field(ge=0)] = 2,
    threads: Positive = 1,
    root: Path = Path(),
) -> State[None]:
    """Invert what the study of params.yaml needs, shard by shard, then measure it. Run it again to resume.

    Args:
        runner: threads (child processes of this machine), dask or ray.
        workers: shards in parallel; None is one per GPU, one for every `threads` cores of a CPU, a whole cluster.
        address: of a running cluster, e.g. tcp://HOST:8786 (dask), HOST:6379 (ray); None starts one on this machine.
        retries: how often a shard is tried again after its worker was lost.
        threads: CPU cores per worker. The last digits of sums depend on it.
        root: folder with params.yaml.
    """
    logger = get_run_logger()
    with contextlib.chdir(root):
        try:
            for job, crops in cells(threads):
                todo = plan(job, [crops], WORK)
                logger.info("%s: %d crops, %d finished before", todo.store.folder.name, todo.total, todo.finished)
                if not todo.shards_left:
                    continue
                progress = Progress(todo.total, todo.finished)
                with RUNNERS[runner](job, todo.work, workers, address) as started:
                    failed = map_shards(todo, started, retries, progress)
                progress.draw(now=True)
                for key, reason in failed.items():  # a row of the study says so too
                    logger.warning("shard %.8s: %s", key, reason)
            page = finish(threads)
        except GanvertError as error:
            return Failed(message=str(error))
        return Completed(message=f"{page.absolute()}")


# Not a decorator, as in flows.extract.
study = flow(
    name="study",
    flow_run_name="study",
    task_runner=cast(TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner(MOST_SLOTS)),
)(methods_on_photographs)


def main(argv: list[str] | None = None) -> int:
    """Run the flow once; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.study",
        description="The study of params.yaml as a Prefect flow; without a Prefect server it starts its own. "
        "Run it again to resume.",
        epilog="example: python -m flows.study --runner dask --workers 4",
    )
    add_worker_options(parser)
    arguments = parser.parse_args(argv)
    return run_once(lambda: study(**vars(arguments), return_state=True))


if __name__ == "__main__":
    sys.exit(main())
