"""A small number of the damaged photographs of `benchmarks.fuzz_photos`."""

from __future__ import annotations

from itertools import islice

from benchmarks.fuzz_photos import SEEDS, mutations, outcome_of


def test_seeds_are_sound() -> None:
    assert {outcome_of(data) for data in SEEDS.values()} == {"picture"}


def test_damaged_photographs_end_as_pictures_or_rows() -> None:
    outcomes = [(name, outcome_of(data)) for name, data in islice(mutations(1), 1000)]
    assert not [found for found in outcomes if found[1].is_finding]
    assert {outcome for _, outcome in outcomes} <= {"picture", "unreadable", "too_large"}
    assert sum(outcome == "picture" for _, outcome in outcomes) > 100
