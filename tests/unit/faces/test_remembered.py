"""Results of the last pictures."""

from __future__ import annotations

import threading

from ganvert.faces.remembered import Remembered


def test_the_latest_results_are_kept() -> None:
    made: list[str] = []
    kept = Remembered[str](2)
    for key in "abacb":
        assert kept.get(key, lambda key=key: made.append(key) or key.upper()) == key.upper()  # type: ignore[misc]
    assert made == ["a", "b", "c"]
    kept.get("a", lambda: made.append("a") or "")
    assert made[-1] == "a"


def test_none_is_a_result() -> None:
    kept = Remembered[None](1)
    kept.get("a", lambda: None)
    kept.get("a", lambda: 1 / 0)  # type: ignore[arg-type, return-value]


def test_a_thread_that_computes_lets_others_work() -> None:
    kept, inside, done = Remembered[int](1), threading.Event(), threading.Event()

    def slow() -> int:
        inside.set()
        assert done.wait(60)
        return 1

    thread = threading.Thread(target=lambda: kept.get("slow", slow))
    thread.start()
    assert inside.wait(60)
    assert kept.get("fast", lambda: 2) == 2
    done.set()
    thread.join()
    assert kept.get("slow", lambda: 3) == 1  # it made room for itself, and is kept
