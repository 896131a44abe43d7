"""How far an extraction is and when it will end, as one Prefect artifact that is drawn again every few seconds."""

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

UPDATE = 5.0  # seconds between two drawings; each is a request to the server
RECENT = 600.0  # seconds that the speed is measured over: what the run was like hours ago says little about its end


class Progress:
    """Counts pictures as they are done, from any thread; the flow's own draws it.

    Attributes:
        total: pictures in all.
        before: those of them that earlier runs have done.
        done: pictures in finished shards, `before` included.
        empty: pictures of this run that gave no code: no face, unreadable, ...
        failed: pictures in shards that failed for good.
    """

    def __init__(self, total: int, before: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Start counting. `clock` gives seconds; not the time of day, which may jump."""
        self.total, self.before, self.done = total, before, before
        self.empty = self.failed = 0
        self._clock = clock
        self._parts: dict[str, float] = {}  # pictures that are done, of shards at work
        self._lock = threading.Lock()
        self._seen = deque([(clock(), float(before))])
        self._artifact: UUID | None = None
        self._drawn = clock() - UPDATE

    def part(self, shard: str, pictures: float) -> None:
        """So many pictures of a shard are done."""
        with self._lock:
            self._parts[shard] = pictures

    def end(self, shard: str, *, done: int = 0, empty: int = 0, failed: int = 0) -> None:
        """A shard has ended, with so many pictures done (`empty` of them without a code) or failed."""
        with self._lock:
            self._parts.pop(shard, None)
            self.done += done
            self.empty += empty
            self.failed += failed

    def text(self) -> str:
        """What there is to say, in a line of Markdown."""
        done, rate = self._now(), self._rate()
        told = [f"**{int(done):,} of {self.total:,} pictures**"]
        told += [f"{self.before:,} of them by earlier runs"] if self.before else []
        told += [f"{self.empty:,} without a code"] if self.empty else []
        told += [f"{self.failed:,} in failed shards"] if self.failed else []
        told.append(f"{rate:,.2f} images/s")
        if rate > 0 and self._clock() - self._seen[0][0] > UPDATE and (left := self.total - done - self.failed) > 0:
            span = timedelta(seconds=round(left / rate))
            told.append(f"about {span} left, until {datetime.now().astimezone() + span:%Y-%m-%d %H:%M %Z}")
        return ", ".join(told)

    def draw(self, *, now: bool = False) -> None:
        """Bring the artifact up to date, if the last time is long enough ago, or `now`."""
        if self._clock() - self._drawn < UPDATE and not now:
            return
        self._drawn = self._clock()
        percent, told = min(100.0 * self._now() / max(self.total, 1), 100.0), self.text()
        try:
            if self._artifact is None:
                made = create_progress_artifact(percent, key="extraction-progress", description=told)
                self._artifact = cast(UUID, made)  # a coroutine only in async flows
            else:
                update_progress_artifact(self._artifact, percent, description=told)
        except (httpx.HTTPError, PrefectException) as error:
            # A server that is away for a moment must not end a run of days.
            get_run_logger().warning("the progress could not be shown: %s", error)

    def _now(self) -> float:
        with self._lock:
            return self.done + sum(self._parts.values())

    def _rate(self) -> float:
        """Pictures a second, of late."""
        now, done = self._clock(), self._now()
        while len(self._seen) > 1 and now - self._seen[1][0] >= RECENT:
            self._seen.popleft()
        if now - self._seen[-1][0] >= UPDATE:
            self._seen.append((now, done))
        then, before = self._seen[0]
        return max(done - before, 0.0) / (now - then) if now > then else 0.0
