"""Work on many items, as many side by side as fit into memory.

A queue of items of any kind: those in work, and those that wait. The first that is done makes room for the next, and
where memory runs out half of those in work are parked, with all that they have reached, until there is room again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from typing import Generic, TypeVar

import torch

from ganvert.base.errors import UnsupportedError
from ganvert.compute.memory import auto_batch, memory_budget, out_of_memory, peak_memory

__all__ = ["SideBySide", "batching_helps"]

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def batching_helps(device: torch.device) -> bool:
    """Return whether several items side by side are faster than one after the other.

    They are not on a CPU: a single picture already keeps all cores busy, and larger batches leave the caches.
    """
    return device.type != "cpu"


class SideBySide(Generic[Item]):
    """Items in work and items that wait.

    Attributes:
        in_work: the items that the next piece of work is for.
        room: how many there may be at once.
    """

    def __init__(
        self,
        count: int,
        begin: Callable[[int], Item],
        park: Callable[[Item], None],
        *,
        device: torch.device,
        limit: int | None,
        fitting: MutableMapping[str, int],
        kind: str,
    ) -> None:
        """Let all items wait.

        Args:
            count: how many there are.
            begin: makes item i; called when its turn comes, so that those that wait need no memory.
            park: frees the memory of an item that has to wait again and that it can do without.
            device: where the work is done.
            limit: this many side by side at most; None is as many as fit where that helps, otherwise one.
            fitting: how many fit, by kind of work. Written and read here, kept by the caller for later queues.
            kind: names the kind of work.
        """
        self._begin, self._park, self._device = begin, park, device
        self._fitting, self._kind, self._automatic = fitting, kind, limit is None
        self._waiting: deque[int | Item] = deque(range(count))
        self.in_work: list[Item] = []
        # Two are enough to measure how much memory one more takes (`fit`).
        self.room = limit or (2 if batching_helps(device) else 1)

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.in_work or self._waiting)

    @property
    def begun(self) -> list[Item]:
        """Items that have begun and are not done: those in work and those parked."""
        return [*self.in_work, *(item for item in self._waiting if not isinstance(item, int))]

    def admit(self) -> None:
        """Give free places to the items that wait, first come, first served."""
        while self._waiting and len(self.in_work) < self.room:
            first = self._waiting[0]
            self.in_work.append(self._begin(first) if isinstance(first, int) else first)
            self._waiting.popleft()  # only now: where memory runs out while it begins, it is still waiting

    def leave(self, item: Item) -> None:
        """Take an item out of work: it is done."""
        self.in_work.remove(item)

    def attempt(self, work: Callable[[], Result]) -> Result | None:
        """Do a piece of work for the items in work (:attr:`in_work`), after those that wait took the free places.

        Args:
            work: does it. Where memory runs out it is tried again with fewer items, so what fails must leave no trace.

        Returns:
            What `work` returns; None where memory ran out. Half of the items are then parked, for the rest of the run.

        Raises:
            UnsupportedError: memory ran out with a single item.
        """
        try:
            self.admit()
            return work()
        except Exception as error:
            if not out_of_memory(error):
                raise
            reason = (str(error) or "out of memory").splitlines()[0]
        # Outside of the handler: the traceback of the error holds the tensors of the work that failed.
        self._halve(reason)
        return None

    def fit(self, probe: Callable[[Sequence[Item]], object]) -> None:
        """Measure how many items fit, once for each kind of work, and make room for as many.

        Does nothing where a limit was set, and with a single item in work.

        Args:
            probe: does the kind of work for some items, without effect.
        """
        if not self._automatic or len(self.in_work) < 2:
            return
        if self._kind not in self._fitting:
            fits = auto_batch(
                lambda count: peak_memory(self._device, lambda: probe(self.in_work[:count])),
                memory_budget(self._device),
            )
            self._fitting[self._kind] = fits
            log.info("%d images fit side by side", fits)
        self._limit(self._fitting[self._kind])
        self.admit()

    def _halve(self, reason: str) -> None:
        crowd = min(self.room, len(self.in_work) + len(self._waiting))
        if crowd <= 1:
            raise UnsupportedError(
                f"{self._device}: wanted memory for one image, there is too little ({reason}); "
                "end other programs there, or take another device"
            )
        if self._automatic:
            self._fitting[self._kind] = crowd // 2
        self._limit(crowd // 2)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning("memory ran out with %d images side by side; continuing with %d", crowd, self.room)

    def _limit(self, room: int) -> None:
        """Have at most `room` items in work; the others wait, before those that have not begun."""
        parked, self.in_work, self.room = self.in_work[room:], self.in_work[:room], room
        for item in parked:
            self._park(item)
        self._waiting.extendleft(reversed(parked))
