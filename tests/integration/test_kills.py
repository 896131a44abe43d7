"""A few of the kills that `python -m benchmarks.kills` does by the hundred."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.kills import Subject, extraction, pipeline


@pytest.mark.slow
@pytest.mark.parametrize("make", [extraction, lambda folder: pipeline(folder, "align")], ids=["extract", "pipeline"])
def test_tables_after_kills_are_those_of_a_quiet_run(
    make: Callable[[Path], Subject], assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANVERT_ASSETS", str(assets))
    subject, chance = make(tmp_path), random.Random(0)
    try:
        subject.prepare()
        assert subject.expected
        # Some come too late: a second run finds warm caches, and ends sooner than the first. Then it starts anew.
        kills = 0
        for _ in range(20):
            if subject.disturb(chance):
                kills += 1
            else:
                assert subject.check() == []
            if kills == 2:
                break
        assert kills == 2
        assert subject.check() == []
    finally:
        subject.end()
