"""Random directions: the distribution of n, matched lengths, and draws that do not depend on how many there are."""

from __future__ import annotations

import numpy as np
import pytest

from ganvert.base.errors import ParamsError
from ganvert.directions.base import FinderInputs, Samples
from ganvert.directions.random_draws import RandomOptions, find_random


def inputs(d: int = 512) -> FinderInputs:
    z = np.random.default_rng(0).normal(size=(400, d))
    return FinderInputs(samples=Samples(z=z, w=z / 4 + 3, scores={}, num_ws=8))


def test_a_step_of_one_is_n_as_drawn() -> None:
    found = find_random(inputs(), RandomOptions(count=8, stds=(0.2, 0.04), magnitudes=("paper",), spaces=("w",)))
    for std in (0.2, 0.04):
        steps = np.stack([direction.step(1.0) for direction in found if direction.name.startswith(f"random_{std:g}_")])
        assert steps.shape == (8, 512)
        assert np.std(steps) == pytest.approx(std, rel=0.03) and abs(steps.mean()) < std * 0.05
    steps = {direction.name: direction.step(1.0) for direction in found}
    assert steps["random_0.2_3"] == pytest.approx(5 * steps["random_0.04_3"], rel=1e-5)
    assert abs(np.corrcoef(steps["random_0.2_0"], steps["random_0.2_1"])[0, 1]) < 0.2


def test_matched_steps_are_the_same_share_of_both_radii() -> None:
    directions = {(direction.name, direction.space): direction for direction in find_random(inputs(), RandomOptions())}
    z, w = directions["random_0.2_matched_0", "z"], directions["random_0.2_matched_0", "w"]
    assert z.quality["share_of_radius"] == pytest.approx(0.2) == w.quality["share_of_radius"]
    assert w.unit == pytest.approx(z.unit / 4)  # the codes of W are four times as narrow
    assert z.unit == pytest.approx(0.2 * np.sqrt(512), rel=0.01)
    plain_z, plain_w = directions["random_0.2_0", "z"], directions["random_0.2_0", "w"]
    assert np.array_equal(plain_z.step(1.0), plain_w.step(1.0))  # the paper's n, the same in both
    assert plain_w.quality["sigmas_per_unit"] == pytest.approx(
        plain_w.unit / np.std(plain_w.vector @ (inputs().samples.w.T), ddof=1)
    )


def test_more_directions_leave_the_first_ones_alone() -> None:
    few, many = (find_random(inputs(32), RandomOptions(count=count, spaces=("z",))) for count in (1, 4))
    wanted = {direction.name: direction.vector for direction in many}
    assert all(np.array_equal(direction.vector, wanted[direction.name]) for direction in few)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ParamsError, match="8 rows"):
        find_random(inputs(8), RandomOptions(first_row=8))
    with pytest.raises(ParamsError, match="count"):
        RandomOptions(count=0)
    with pytest.raises(ParamsError, match="positive"):
        RandomOptions(stds=(0.2, 0.0))
    with pytest.raises(ParamsError, match="at least one of each"):
        RandomOptions(spaces=())
