"""Progress of an extraction and its expected end, as one Prefect artifact that is updated every few seconds."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException

UPDATE = 5.0  # seconds between two updates; each is a request to the server
RECENT = 600.0  # seconds over which the speed is measured: that of hours ago predicts little


class Progress:
    """Counts finished pictures, from any thread; the flow's own thread draws the artifact.

    Attributes:
        total: number of pictures.
        before: pictures that earlier runs finished.
        done: pictures in finished shards, `before` included.
        computed: those of them that this run computed, and no run beside it.
        empty: pictures of this run that gave no code: no face, unreadable, ...
        failed: pictures in shards that failed for good.
    """

    def __init__(self, total: int, before: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Start counting. `clock` gives seconds; not the time of day, which may jump."""
        self.total, self.before, self.done = total, before, before
        self.computed = self.empty = self.failed = 0
        self._clock = clock
        self._parts: dict[str, float] = {}  # finished pictures of shards in work
        self._lock = threading.Lock()
        self._history = deque([(clock(), float(before))])
        self._artifact: UUID | None = None
        self._drawn = clock() - UPDATE

    def part(self, shard: str, pictures: float) -> None:
        """Record how many pictures of a shard in work are done (fractions count)."""
        with self._lock:
            self._parts[shard] = pictures

    def end(self, shard: str, *, done: int = 0, computed: int = 0, empty: int = 0, failed: int = 0) -> None:
        """Record the end of a shard: pictures done (`computed` by this run, `empty` without a code) or failed."""
        with self._lock:
            self._parts.pop(shard, None)
            self.done += done
            self.computed += computed
            self.empty += empty
            self.failed += failed

    def text(self) -> str:
        """Return the counts, the speed and the expected end as a line of Markdown."""
        done, rate = self._now(), self._rate()
        parts = [f"**{int(done):,} of {self.total:,} pictures**"]
        parts += [f"{self.before:,} of them by earlier runs"] if self.before else []
        parts += [f"{self.empty:,} without a code"] if self.empty else []
        parts += [f"{self.failed:,} in failed shards"] if self.failed else []
        parts.append(f"{rate:,.2f} images/s")
        if rate > 0 and self._clock() - self._history[0][0] > UPDATE and (left := self.total - done - self.failed) > 0:
            span = timedelta(seconds=round(left / rate))
            parts.append(f"about {span} left, until {datetime.now().astimezone() + span:%Y-%m-%d %H:%M %Z}")
        return ", ".join(parts)

    def draw(self, *, now: bool = False) -> None:
        """Update the artifact if the last update is long enough ago, or at once with `now`."""
        if self._clock() - self._drawn < UPDATE and not now:
            return
        self._drawn = self._clock()
        percent, text = min(100.0 * self._now() / max(self.total, 1), 100.0), self.text()
        try:
            if self._artifact is None:
                created = create_progress_artifact(percent, key="extraction-progress", description=text)
                self._artifact = cast(UUID, created)  # a coroutine only in async flows
            else:
                update_progress_artifact(self._artifact, percent, description=text)
        except (httpx.HTTPError, PrefectException) as error:
            # A server that is unreachable for a moment must not end a run of days.
            get_run_logger().warning("progress could not be shown: %s", error)

    def _now(self) -> float:
        with self._lock:
            return self.done + sum(self._parts.values())

    def _rate(self) -> float:
        """Return pictures per second, over the last RECENT seconds."""
        now, done = self._clock(), self._now()
        while len(self._history) > 1 and now - self._history[1][0] >= RECENT:
            self._history.popleft()
        if now - self._history[-1][0] >= UPDATE:
            self._history.append((now, done))
        then, before = self._history[0]
        return max(done - before, 0.0) / (now - then) if now > then else 0.0
