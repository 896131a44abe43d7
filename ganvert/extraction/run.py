"""A whole extraction on this machine: plan, shards, tables. Clusters map over the same shards (flows/extract.py)."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm

from ganvert.base.errors import DamagedShardError, GanvertError, WorkerLostError
from ganvert.base.files import check_writable
from ganvert.compute.progress import progress_bar
from ganvert.extraction.assemble import assemble
from ganvert.extraction.job import Job
from ganvert.extraction.pool import Pool
from ganvert.extraction.shards import Plan, Shard, plan
from ganvert.extraction.worker import ShardResult, run_shard

__all__ = ["Extraction", "extract"]

log = logging.getLogger(__name__)
_TRIES = 3  # for a shard whose worker was lost


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The outcome of a run.

    Attributes:
        plan: as it stands after the last shard.
        computed: number of pictures that this run computed, without those of runs beside it.
        rows: number of rows of every table written.
    """

    plan: Plan
    computed: int
    rows: dict[str, int]


def extract(
    job: Job,
    inputs: Sequence[Path],
    work: Path,
    outputs: Mapping[str, Path],
    *,
    workers: int = 1,
    shard_size: int | None = None,
    what: str = "extract",
) -> Extraction:
    """Bring the tables of a job over some pictures up to date; a run that was stopped resumes.

    Args:
        job: what is done with a picture.
        inputs: folders, pictures, archives, tables, lists.
        work: the work store.
        outputs: table name to Parquet file.
        workers: processes side by side; 1 works in this one.
        shard_size: see :func:`ganvert.extraction.shards.plan`.
        what: name on the progress bar.

    Raises:
        GanvertError: an input, parameter, model or the disk is at fault. If a shard fails in a worker process, the
            others are done first.
    """
    for path in outputs.values():
        check_writable(path, folder=False, what="table")
    todo = plan(job, inputs, work, shard_size)
    if todo.scan.duplicates:
        log.info("%d pictures have the same bytes as another one and are left out", todo.scan.duplicates)
    if todo.finished:
        log.info("%d of %d pictures were done before", todo.finished, todo.total)
    finished, computed = _compute(todo, workers, what)
    for _ in range(_TRIES - 1):
        try:
            return Extraction(finished, computed, assemble(finished, outputs))
        except DamagedShardError as error:  # noticed when it is read; the store says so in a warning
            log.debug("%s", error)
            finished, again = _compute(finished.update(), workers, what)
            computed = min(computed + again, finished.total)  # it may be a shard of this run
    return Extraction(finished, computed, assemble(finished, outputs))


def _compute(todo: Plan, workers: int, what: str) -> tuple[Plan, int]:
    """Compute the shards that are left; return the plan as it stands then, and how many pictures were computed here."""
    job = todo.job
    # The bar counts steps if there are any: a picture may take minutes.
    steps = job.invert.read().steps if job.invert is not None else 1
    with progress_bar(todo.total * steps, f"{what} ({todo.total} pictures)", todo.finished * steps) as bar:
        progress = _Progress(bar, todo.finished, steps)
        if min(workers, todo.shards_left) > 1:
            _run_in_pool(todo, workers, progress)
        else:
            for shard in todo.shards():
                progress.finish(shard, run_shard(job, shard, todo.work, progress.reporter(shard)))
    return todo.update(), progress.computed


class _Progress:
    """Shards side by side on one bar."""

    def __init__(self, bar: tqdm[NoReturn], finished: int, steps: int) -> None:
        """Begin with `finished` pictures done; each moves the bar by `steps`."""
        self.bar, self.whole, self.steps = bar, finished, steps
        self.parts, self.lock = dict[str, float](), threading.Lock()
        self.computed = 0

    def reporter(self, shard: Shard) -> Callable[[float], None]:
        """Return a function that receives how many pictures of a shard are done."""
        return lambda pictures: self._show(shard.key, pictures)

    def finish(self, shard: Shard, result: ShardResult) -> None:
        """Mark a shard as finished, and count its pictures as computed unless another run has finished it."""
        self.whole += len(shard.members)
        self.computed += 0 if result.skipped else result.images
        self._show(shard.key, None)

    def _show(self, shard: str, pictures: float | None) -> None:
        with self.lock:
            if pictures is None:
                self.parts.pop(shard, None)
            else:
                self.parts[shard] = pictures
            done = self.whole + sum(self.parts.values())
            self.bar.update(int(done * self.steps) - self.bar.n)


def _run_in_pool(todo: Plan, workers: int, progress: _Progress) -> None:
    """Compute all shards in worker processes; at most twice as many shards as workers are held at a time."""
    shards, failures = todo.shards(), list[GanvertError]()
    running: dict[Future[ShardResult], Shard] = {}
    with Pool(todo.job, todo.work, workers) as pool, ThreadPoolExecutor(workers) as threads:

        def run(shard: Shard) -> ShardResult:
            for _ in range(_TRIES - 1):
                try:
                    return pool.run(shard, progress.reporter(shard))
                except WorkerLostError as error:
                    log.warning("%s; once more", error)
            return pool.run(shard, progress.reporter(shard))

        try:
            while True:
                # Twice, so that a worker that ends finds the next shard waiting.
                while len(running) < 2 * workers and (shard := next(shards, None)) is not None:
                    running[threads.submit(run, shard)] = shard
                if not running:
                    break
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    shard = running.pop(future)
                    try:
                        progress.finish(shard, future.result())
                    except GanvertError as error:
                        log.error("%s", error)
                        failures.append(error)
        except BaseException:
            pool.close()
            for future in running:
                future.cancel()
            raise
    if failures:
        raise failures[0]
