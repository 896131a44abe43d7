"""Computing shards, one after the other, in any process: a child of :class:`~ganvert.extraction.pool.Pool`, a Dask or
Ray worker, or the only one.

As a program (`python -m ganvert.extraction WORK`) it reads the job and then shards from standard input, a line of JSON
each, and answers with lines of JSON: progress, and a result or an error for every shard. It ends when its standard
input does, also in the middle of a shard, so that a worker never outlives the process that started it.
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

_session: tuple[str, Session] | None = None  # the last job as JSON, and its models: loading them takes seconds


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """How a shard ended.

    Attributes:
        shard: its key.
        images: number of its pictures.
        ok: number of codes of status ok (of photographs, where a job only aligns).
        seconds: of work, loading models included.
        skipped: whether another run had finished it.
    """

    shard: str
    images: int
    ok: int
    seconds: float
    skipped: bool = False


def run_shard(job: Job, shard: Shard, work: Path, on_progress: OnProgress = lambda _: None) -> ShardResult:
    """Compute a shard and store it, unless it is finished; wait if another process works on it.

    Args:
        job: see :class:`Job`.
        shard: its pictures.
        work: the work store.
        on_progress: receives how many of its pictures are done.

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
            if _session is not None:
                _session[1].reader.close()
            _session = None  # frees its memory before the next one is loaded
            _session = name, Session(job)
        # Of all threads of this process, which does one shard at a time; waiting for a busy machine does not count.
        before = time.process_time()
        tables = _session[1].run(shard.members, store.tuned, on_progress)
        store.put(shard.key, tables, time.process_time() - before)
    good = tables["codes" if "codes" in tables else "photos"].column("status").to_pylist().count("ok")
    return ShardResult(shard.key, len(shard.members), good, time.monotonic() - start)


def main() -> None:
    """Run the program that the module describes."""
    from ganvert.compute.progress import log_to_stderr

    log_to_stderr()
    answers, sys.stdout = sys.stdout, sys.stderr  # so that nothing else is written among the answers
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)  # the process that started this one is gone, or has no more work

    work, first = Path(sys.argv[1]), sys.stdin.readline()
    threading.Thread(target=listen, daemon=True).start()
    job = Job.from_json(first)

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
        except Exception as error:  # it is raised again where the shard was asked for
            answer(error=type(error).__name__, message=str(error))
