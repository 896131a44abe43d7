"""A small number of the damaged archives, tables and lists of `benchmarks.fuzz_inputs`."""

from __future__ import annotations

from itertools import islice

from benchmarks.fuzz_inputs import ARCHIVES, mutations, outcome_of_archive


def test_seeds_are_sound() -> None:
    assert {outcome_of_archive(name, data) for name, data in ARCHIVES.items()} == {"listed"}


def test_damaged_archives_and_lists_are_listed_or_refused() -> None:
    outcomes = [(name, outcome_of_archive(name, data)) for name, data in islice(mutations(1, ARCHIVES), 300)]
    assert not [found for found in outcomes if found[1].is_finding]
    for outcome in ("listed", "refused"):
        assert sum(found == outcome for _, found in outcomes) > 50
