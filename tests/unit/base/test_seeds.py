"""Randomness belongs to items."""

from __future__ import annotations

import torch

from ganvert.base.seeds import item_seed
from ganvert.compute.random import normal


def test_item_seed_is_pinned_and_keeps_parts_apart() -> None:
    # sha256 of b"photo\x001", first 8 bytes, one bit dropped: the same on every machine and in every release
    assert item_seed("photo", 1) == item_seed("photo", "1")
    assert item_seed("photo", 1) == 2754056874680865519
    assert item_seed("ab", "c") != item_seed("a", "bc")
    assert all(0 <= item_seed(i) < 2**63 for i in range(100))
    assert len({item_seed(i) for i in range(1000)}) == 1000


def test_rows_depend_on_their_seed_alone() -> None:
    state = torch.random.get_rng_state()
    both = normal([3, 4], (2, 5))
    assert torch.equal(both[1:], normal([4], (2, 5)))
    assert torch.equal(both.flip(0), normal([4, 3], (2, 5)))
    assert not torch.equal(both[0], both[1])
    assert torch.equal(state, torch.random.get_rng_state())
    assert normal([], (2, 5)).shape == (0, 2, 5)


def test_numbers_are_standard_normal() -> None:
    numbers = normal(range(200), (500,))
    assert abs(float(numbers.mean())) < 0.01
    assert abs(float(numbers.std()) - 1) < 0.01
