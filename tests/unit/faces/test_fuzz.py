"""A small number of the damaged photographs of `benchmarks.fuzz_inputs`."""

from __future__ import annotations

from itertools import islice

from benchmarks.fuzz_inputs import PHOTOS, mutations, outcome_of_photo


def test_seeds_are_sound() -> None:
    assert {outcome_of_photo(data) for data in PHOTOS.values()} == {"picture"}


def test_damaged_photographs_end_as_pictures_or_rows() -> None:
    outcomes = [(name, outcome_of_photo(data)) for name, data in islice(mutations(1, PHOTOS), 1000)]
    assert not [found for found in outcomes if found[1].is_finding]
    assert {outcome for _, outcome in outcomes} <= {"picture", "unreadable", "too_large"}
    assert sum(outcome == "picture" for _, outcome in outcomes) > 100
