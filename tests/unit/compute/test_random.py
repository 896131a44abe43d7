"""Random numbers belong to rows, and are the same wherever they are drawn."""

from __future__ import annotations

import torch

from ganvert.compute.random import normal


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
