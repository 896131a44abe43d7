"""A whole extraction on this machine: plan, shards, tables. Clusters map the same shards (flows/extract.py)."""

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

from ganvert.base.errors import GanvertError, WorkerLostError
from ganvert.compute.progress import progress_bar
from ganvert.extraction.assemble import assemble
from ganvert.extraction.job import Job
from ganvert.extraction.pool import Pool
from ganvert.extraction.shards import Plan, Shard, plan
from ganvert.extraction.worker import ShardResult, run_shard

__all__ = ["Extraction", "extract"]

log = logging.getLogger(__name__)
_TRIES = 3  # of a shard whose worker was lost


@dataclasses.dataclass(frozen=True)
class Extraction:
    """What a run did.

    Attributes:
        plan: after the last shard.
        computed: pictures that were computed by this run.
        rows: rows of every table written.
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
    """Bring the tables of a job over some pictures up to date; a run that was stopped goes on where it was.

    Args:
        job: what becomes of a picture.
        inputs: folders, pictures, archives, tables, lists.
        work: the work store.
        outputs: table name to Parquet file.
        workers: processes side by side; 1 works in this one.
        shard_size: see :func:`ganvert.extraction.shards.plan`.
        what: name on the progress bar.

    Raises:
        GanvertError: an input, parameter, model or the disk is at fault. Of several shards that fail, the others are
            done first.
    """
    told = plan(job, inputs, work, shard_size)
    if told.scan.duplicates:
        log.info("%d pictures have the same bytes as another one and are left out", told.scan.duplicates)
    if told.finished:
        log.info("%d of %d pictures were done before", told.finished, told.total)
    before = told.finished
    # In steps where there are any: a picture may take minutes.
    each = job.invert.read().steps if job.invert is not None else 1
    with progress_bar(told.total * each, f"{what} ({told.total} pictures)", told.finished * each) as bar:
        seen = _Progress(bar, told.finished, each)
        if min(workers, told.shards_left) > 1:
            _in_pool(told, workers, seen)
        else:
            for shard in told.shards():
                run_shard(job, shard, told.work, seen.of(shard))
                seen.finished(shard)
    told = told.update()
    return Extraction(told, told.finished - before, assemble(told, outputs))


class _Progress:
    """Shards side by side on one bar, which moves `each` for a picture."""

    def __init__(self, bar: tqdm[NoReturn], finished: int, each: int) -> None:
        self.bar, self.whole, self.each = bar, finished, each
        self.parts, self.lock = dict[str, float](), threading.Lock()

    def of(self, shard: Shard) -> Callable[[float], None]:
        """What is told how many pictures of a shard are done."""
        return lambda pictures: self._show(shard.key, pictures)

    def finished(self, shard: Shard) -> None:
        """A shard is."""
        self.whole += len(shard.members)
        self._show(shard.key, None)

    def _show(self, shard: str, pictures: float | None) -> None:
        with self.lock:
            if pictures is None:
                self.parts.pop(shard, None)
            else:
                self.parts[shard] = pictures
            done = self.whole + sum(self.parts.values())
            self.bar.update(int(done * self.each) - self.bar.n)


def _in_pool(told: Plan, workers: int, seen: _Progress) -> None:
    """All shards over some processes; never more in hand than twice as many."""
    shards, failed = told.shards(), list[GanvertError]()
    waiting: dict[Future[ShardResult], Shard] = {}
    with Pool(told.job, told.work, workers) as pool, ThreadPoolExecutor(workers) as threads:

        def do(shard: Shard) -> ShardResult:
            for _ in range(_TRIES - 1):
                try:
                    return pool.run(shard, seen.of(shard))
                except WorkerLostError as error:
                    log.warning("%s; once more", error)
            return pool.run(shard, seen.of(shard))

        try:
            while True:
                while len(waiting) < 2 * workers and (shard := next(shards, None)) is not None:
                    waiting[threads.submit(do, shard)] = shard
                if not waiting:
                    break
                ended, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    shard = waiting.pop(future)
                    try:
                        future.result()
                    except GanvertError as error:
                        log.error("%s", error)
                        failed.append(error)
                    else:
                        seen.finished(shard)
        except BaseException:
            pool.close()
            for future in waiting:
                future.cancel()
            raise
    if failed:
        raise failed[0]
