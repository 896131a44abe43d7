"""Worker processes on this machine: one shard at a time each, replaced when they are lost; they end when we do."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ganvert.base import errors
from ganvert.base.errors import GanvertError, WorkerLostError
from ganvert.extraction.device import default_workers
from ganvert.extraction.job import Job
from ganvert.extraction.shards import Shard
from ganvert.extraction.worker import ShardResult

__all__ = ["Pool", "default_workers"]


class Pool:
    """`workers` child processes; :meth:`run` may be called from as many threads."""

    def __init__(self, job: Job, work: Path, workers: int) -> None:
        """Start no child yet: each is started when it is first needed.

        Args:
            job: what the children do.
            work: the work store.
            workers: how many at most.
        """
        self.job, self.work = job, Path(work).absolute()
        self._idle: queue.SimpleQueue[_Child | None] = queue.SimpleQueue()
        for _ in range(workers):
            self._idle.put(None)
        self._lock = threading.Lock()
        self._children: set[_Child] = set()
        self._closed = False

    def run(self, shard: Shard, on_progress: Callable[[float], None] = lambda _: None) -> ShardResult:
        """Wait for an idle worker, have it compute a shard, and return how the shard ended.

        Raises:
            WorkerLostError: the worker was killed or crashed; its shard may be given to another.
            GanvertError: what the worker raised.
        """
        child = self._idle.get()
        try:
            if child is None:
                with self._lock:
                    if self._closed:
                        raise WorkerLostError(f"shard {shard.key}: not started, the workers are being ended")
                    child = _Child(self.job, self.work)
                    self._children.add(child)
            return child.run(shard, on_progress)
        except WorkerLostError:
            if child is not None:
                with self._lock:
                    self._children.discard(child)
                child.close()
            child = None
            raise
        finally:
            self._idle.put(child)

    def close(self) -> None:
        """Kill all children, also those at work."""
        with self._lock:
            self._closed = True
            for child in self._children:
                child.end()
            self._children.clear()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Child:
    """A worker process and its two pipes."""

    def __init__(self, job: Job, work: Path) -> None:
        threads = {} if job.threads is None else {"OMP_NUM_THREADS": str(job.threads)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ganvert.extraction", str(work)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | threads,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process only, which ends its children by their standard input
        )
        self._send(job.to_json())

    def run(self, shard: Shard, on_progress: Callable[[float], None]) -> ShardResult:
        """Send a shard and read answers until it has ended."""
        self._send(shard.to_json())
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line)
            if "progress" in answer:
                on_progress(answer["progress"])
            elif "result" in answer:
                return ShardResult(**answer["result"])
            else:
                raise _error(answer["error"], answer["message"], shard)
        code = self.process.wait()
        why = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise WorkerLostError(f"shard {shard.key}: its worker {why}; out of memory? Fewer workers need less")

    def end(self) -> None:
        """Kill the process, whatever it does."""
        # SIGKILL: inside a long operator a worker hears nothing else, and the store needs no tidying.
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        """Close our ends of its pipes."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # something was not sent, and the child is gone
                pipe.close()

    def _send(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # the child is gone, which reading its answers shows


def _error(name: str, message: str, shard: Shard) -> GanvertError:
    """Return the error that a worker raised, of its own type if that is one of ganvert's."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, GanvertError):
        return kind(message)
    return GanvertError(f"shard {shard.key}: {name}: {message}")
