"""Work in the background of a session: it waits for its turn, says how far it is, and ends when the browser is gone."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ganvert.base.errors import GanvertError
from ganvert.compute.memory import give_back_freed_memory
from ganvert.inversion.contract import Inversion
from ganvert.studio.changes import Changes

if TYPE_CHECKING:
    from ganvert.studio.session import Session

__all__ = ["Ended", "Job", "Refinement", "Task", "wait_for_all"]

#: Seconds without a sign of the browser after which work ends; browsers slow hidden pages to one call a minute.
AWAY = 150.0
FORMING = 4.0  # seconds between two pictures of an inversion that runs
FORMING_PX = 256


class Ended(Exception):
    """Raised inside a job that is to end."""


class _Thread(threading.Thread):
    """The thread of a job."""


def wait_for_all(seconds: float) -> bool:
    """Wait for the end of all jobs of this process, so long at most; return whether all have ended."""
    deadline = time.monotonic() + seconds
    threads = [thread for thread in threading.enumerate() if isinstance(thread, _Thread)]
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


class Job(ABC):
    """Work in a thread of its own. It ends when it is done, cancelled, or the browser is gone.

    Attributes:
        session: whose work it is.
        title: what it is, such as a method's name.
        state: ``waiting``, ``running``, ``done``, ``cancelled`` or ``failed``.
        reason: why it failed; empty where it did not.
    """

    def __init__(self, session: Session, title: str) -> None:
        self.session, self.title = session, title
        self.state, self.reason = "waiting", ""
        self._steps: tuple[tuple[float, float], tuple[float, float]] | None = None  # first and last: when, and part
        self._cancel = threading.Event()
        self._begun = time.monotonic()
        self._thread = _Thread(target=self._run, name=title, daemon=True)

    @property
    @abstractmethod
    def turn(self) -> threading.Lock:
        """What work of this kind takes turns by."""

    @abstractmethod
    def work(self) -> None:
        """Do it. What it made is the session's before it ends."""

    def start(self) -> None:
        """Begin, behind the work of other sessions."""
        self._thread.start()

    def cancel(self) -> None:
        """End it after the step that it takes."""
        self._cancel.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end; return whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "running")

    @property
    def over(self) -> bool:
        """Whether it is to end."""
        return self._cancel.is_set() or time.monotonic() - self.session.seen > AWAY

    @property
    def done(self) -> float:
        """Part of its work that is done, 0 to 1."""
        return self._steps[1][1] if self._steps else 0.0

    @property
    def seconds(self) -> float:
        """Seconds since it has begun to run."""
        return time.monotonic() - self._begun

    @property
    def left(self) -> float | None:
        """Seconds that are left by the speed so far; None while there is no telling.

        What came before the first step (networks are loaded, and how fast to compute is measured) comes but once.
        """
        if self.state != "running" or self._steps is None:
            return None
        (first, begun), (last, done) = self._steps
        if done - begun < 0.04:
            return None
        return max(0.0, (last - first) * (1 - done) / (done - begun) - (time.monotonic() - last))

    def reach(self, done: float) -> None:
        """Say how far it is, 0 to 1."""
        now = time.monotonic(), done
        self._steps = (self._steps[0] if self._steps else now), now

    def report(self, done: float) -> None:
        """Say how far it is, 0 to 1; raises :class:`Ended` where it is to end."""
        self.reach(done)
        if self.over:
            raise Ended

    @contextmanager
    def taking(self, turn: threading.Lock) -> Iterator[None]:
        """Wait for a turn, and take it; raises :class:`Ended` where the job is to end before."""
        while not turn.acquire(timeout=0.2):
            if self.over:
                raise Ended
        try:
            yield
        finally:
            turn.release()

    def _run(self) -> None:
        try:
            with self.taking(self.turn):
                self.state, self._begun = "running", time.monotonic()
                self.work()
            self.state = "cancelled" if self.over else "done"
        except Ended:
            self.state = "cancelled"
        except GanvertError as error:
            self.state, self.reason = "failed", str(error)
        except Exception as error:  # a thread has nobody above it who would say so
            self.state, self.reason = "failed", f"{self.title}: {type(error).__name__}: {error}"
            raise
        finally:
            give_back_freed_memory()  # the next one may be hours away


class Task(Job):
    """A job that is a function, which reports to it.

    Args:
        session: see :class:`Job`.
        title: see :class:`Job`.
        function: does the work.

    Attributes:
        command: the command line that does the same; empty where there is none.
        download: name and file name of what it made; None before.
        said: a sentence on how it ended.
        seen: whether the page knows that it has ended.
    """

    def __init__(self, session: Session, title: str, function: Callable[[Task], None]) -> None:
        super().__init__(session, title)
        self._function: Callable[[Task], None] | None = function
        self.command = self.said = ""
        self.seen = False
        self.download: tuple[str, str] | None = None

    @property
    def turn(self) -> threading.Lock:
        return self.session.models.working

    def work(self) -> None:
        function, self._function = self._function, None  # photographs and codes that it holds
        assert function is not None  # a thread starts once
        function(self)


class Refinement(Job):
    """The inversion of a face by a better method. Cancelled, it keeps the best code so far.

    Attributes:
        method: the preset.
        face: the face in work.
        forming: name of the picture so far, or None.
    """

    def __init__(self, session: Session, method: str) -> None:
        super().__init__(session, method)
        self.method, self.face = method, session.face
        self.forming: str | None = None
        self._drawn = time.monotonic()

    @property
    def turn(self) -> threading.Lock:
        return self.session.models.inverting

    def work(self) -> None:
        models = self.session.models
        found = models.invert(self.face, self.method, self._watch, self._on_images)
        if not self.over:
            models.times.add(self.method, self.seconds)
        self.session.refined(self, found, partial=self.over)

    def _on_images(self, images: float) -> None:
        self.reach(images)

    def _watch(self, so_far: Callable[[], Inversion]) -> bool:
        """Show the picture so far every few seconds; return whether the inversion is to end."""
        if time.monotonic() - self._drawn > FORMING:
            found = self.session.models.found(so_far(), self.face, self.method)
            picture = self.session.models.draw(found.code, Changes())
            self.forming, self._drawn = self.session.pictures.show(picture, FORMING_PX), time.monotonic()
        return self.over
