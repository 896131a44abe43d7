"""A small number of the odd weights, tables and params.yaml of `benchmarks.fuzz_models`."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks.fuzz_inputs import outcome_of
from benchmarks.fuzz_models import CASES


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("weights", 150), ("tables", 150), ("params", 80)])
def test_odd_files_are_read_or_refused(kind: str, count: int) -> None:
    outcomes = [(name, outcome_of(read)) for name, read in islice(CASES[kind](0), count)]
    assert not [found for found in outcomes if found[1].is_finding]
    for outcome in ("read", "refused"):
        assert sum(found == outcome for _, found in outcomes) > 2
