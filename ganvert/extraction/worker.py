"""One shard after the other, in whatever process: a child of :class:`~ganvert.extraction.pool.Pool`, a Dask or Ray
worker, or the only one there is.

As a program (`python -m ganvert.extraction WORK`) it reads the job and then shards from standard input, a line of JSON
each, and answers with lines of JSON: progress, and a result or an error for every shard. It ends when its standard
input does, also in the middle of a shard: a worker never outlives whoever started it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path

from ganvert.extraction.job import Job
from ganvert.extraction.session import OnProgress, Session
from ganvert.extraction.shards import Shard, Store

__all__ = ["ShardResult", "main", "run_shard"]

_session: tuple[str, Session] | None = None  # of the last job: loading models takes seconds


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """What became of a shard.

    Attributes:
        shard: its key.
        images: its pictures.
        ok: those of them that gave codes (crops, where a job only aligns).
        seconds: of work, loading models included.
        skipped: another run had finished it.
    """

    shard: str
    images: int
    ok: int
    seconds: float
    skipped: bool = False


def run_shard(job: Job, shard: Shard, work: Path, on_progress: OnProgress = lambda _: None) -> ShardResult:
    """Do a shard and store it, unless it is finished; waits while another process is at it.

    Args:
        job: see :class:`Job`.
        shard: its pictures.
        work: the work store.
        on_progress: told how many of its pictures are done.

    Raises:
        GanvertError: a model is missing, the disk is full, ...; a bad photograph is a row instead.
    """
    global _session
    start, store = time.monotonic(), Store(work, job)
    with store.claim(shard.key) as needed:
        if not needed:
            return ShardResult(shard.key, len(shard.members), 0, time.monotonic() - start, skipped=True)
        name = job.to_json()
        if _session is None or _session[0] != name:
            _session = None  # makes room before the next one is loaded
            _session = name, Session(job)
        tables = _session[1].run(shard.members, store.tuned, on_progress)
        store.put(shard.key, tables)
    good = tables["codes" if "codes" in tables else "photos"].column("status").to_pylist().count("ok")
    return ShardResult(shard.key, len(shard.members), good, time.monotonic() - start)


def main() -> None:
    """The program; see the module."""
    from ganvert.compute.progress import log_to_stderr

    log_to_stderr()
    answers, sys.stdout = sys.stdout, sys.stderr  # nothing else may write among the answers
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)  # whoever started it is gone, or has no more work

    work, told = Path(sys.argv[1]), sys.stdin.readline()
    threading.Thread(target=listen, daemon=True).start()
    job = Job.from_json(told)

    def answer(**facts: object) -> None:
        answers.write(json.dumps(facts) + "\n")
        answers.flush()

    while True:
        shard, last = Shard.from_json(lines.get()), [0.0]

        def on_progress(done: float, last: list[float] = last) -> None:
            if time.monotonic() - last[0] > 1:
                last[0] = time.monotonic()
                answer(progress=done)

        try:
            answer(result=dataclasses.asdict(run_shard(job, shard, work, on_progress)))
        except Exception as error:  # it is told where the shard was asked for
            answer(error=type(error).__name__, message=str(error))
