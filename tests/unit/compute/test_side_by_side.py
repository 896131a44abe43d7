"""A queue of items: who is in work, and what happens where memory runs out."""

from __future__ import annotations

import pytest
import torch

from ganvert.base.errors import UnsupportedError
from ganvert.compute import side_by_side
from ganvert.compute.side_by_side import SideBySide, batching_helps

CPU = torch.device("cpu")


def queue(count: int, limit: int | None, parked: list[str] | None = None) -> SideBySide[str]:
    park = (parked if parked is not None else []).append
    return SideBySide(count, lambda i: "abcdefgh"[i], park, device=CPU, limit=limit, fitting={}, kind="x")


def full() -> None:
    raise torch.OutOfMemoryError("full\nand more")


def test_the_first_that_is_done_makes_room_for_the_next() -> None:
    line = queue(4, 2)
    rounds = []
    while line.busy:
        rounds.append(line.attempt(lambda: "".join(line.in_work)))
        line.leave(line.in_work[0])
    assert rounds == ["ab", "bc", "cd", "d"]


def test_where_memory_runs_out_half_of_them_wait_before_all_others() -> None:
    parked: list[str] = []
    line = queue(6, 4, parked)
    assert line.attempt(full) is None
    assert (line.in_work, parked, line.begun) == (["a", "b"], ["c", "d"], ["a", "b", "c", "d"])
    line.leave("a")
    assert line.attempt(lambda: list(line.in_work)) == ["b", "c"]
    assert line.attempt(full) is None
    assert (line.in_work, parked) == (["b"], ["c", "d", "c"])
    with pytest.raises(UnsupportedError, match=r"cpu: wanted memory for one image.*\(full\)"):
        line.attempt(full)


def test_an_item_whose_beginning_fails_still_waits() -> None:
    fails = [True]

    def begin(i: int) -> str:
        if i == 1 and fails.pop():
            full()
        return "ab"[i]

    line = SideBySide(2, begin, lambda item: None, device=CPU, limit=2, fitting={}, kind="x")
    assert line.attempt(lambda: "never") is None
    assert line.attempt(lambda: list(line.in_work)) == ["a"]
    line.leave("a")
    fails.append(False)
    assert line.attempt(lambda: list(line.in_work)) == ["b"]


def test_other_errors_pass() -> None:
    def broken() -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        queue(2, 2).attempt(broken)


def test_a_cpu_takes_one_and_measures_nothing() -> None:
    assert not batching_helps(CPU)
    line = queue(3, None)
    line.admit()
    line.fit(lambda items: pytest.fail("measured"))
    assert line.in_work == ["a"]


def test_as_many_as_fit_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item takes 5 bytes of 21, beside 3."""
    monkeypatch.setattr(side_by_side, "batching_helps", lambda device: True)
    monkeypatch.setattr(side_by_side, "peak_memory", lambda device, work: 3 + 5 * work())
    monkeypatch.setattr(side_by_side, "memory_budget", lambda device: 21)
    fitting: dict[str, int] = {}
    for _ in range(2):
        line = SideBySide(5, str, lambda item: None, device=CPU, limit=None, fitting=fitting, kind="x")
        line.admit()
        line.fit(len)
        assert line.in_work == ["0", "1", "2"]
        monkeypatch.setattr(side_by_side, "peak_memory", lambda device, work: pytest.fail("measured again"))
    assert line.attempt(full) is None  # the measurement was wrong, which is remembered too
    assert fitting == {"x": 1}
