"""Stimuli: amounts in closed form, masks, and the paragraph."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganvert.base import params
from ganvert.base.errors import GanvertError, ParamsError
from ganvert.directions import Direction
from ganvert.editing.amounts import Percentile, reach
from ganvert.editing.stimuli import Presentation, methods_text, solve_amount
from ganvert.editing.stimulus_set import StimuliSpec, check_series, write_set


@pytest.mark.parametrize(
    ("measure", "target", "expected"),
    [
        (lambda a: 1 + 0.1 * a, 1.2, 2.0),
        (lambda a: 1 + 0.1 * a, 1.0, 0.0),
        (lambda a: 1 - 0.1 * a, 1.3, -3.0),
        (math.tanh, 0.5, 0.5493),
        (lambda a: a**3, -8.0, -2.0),
        (lambda a: None if a > 3 else a, -1.5, -1.5),  # no face at one end
    ],
)
def test_the_amount_reaches_the_score(measure: Callable[[float], float], target: float, expected: float) -> None:
    solved = solve_amount(measure, target)
    assert solved is not None and solved.reached
    assert solved.score == measure(solved.amount)
    span = abs(measure(3) - measure(-4))
    assert abs(solved.score - target) <= 0.0125 * span
    assert solved.amount == pytest.approx(expected, abs=0.15)


def test_targets_out_of_reach() -> None:
    solved = solve_amount(lambda a: 1 + 0.1 * a, 2.0)
    assert solved is not None and not solved.reached
    assert (solved.amount, solved.score) == (4, 1.4)  # the nearest
    assert solve_amount(lambda a: None, 1.0) is None
    still = solve_amount(lambda a: 1.0, 1.5)
    assert still is not None and not still.reached


def test_a_target_is_sought_in_the_range_of_the_direction() -> None:
    solved = solve_amount(lambda a: 1 + 0.1 * a, 2.0, (-1, 3))
    assert solved is not None and (solved.amount, solved.reached) == (3, False)


@pytest.mark.parametrize(
    ("quality", "ends"),
    [({}, (-4, 4)), ({"step": 1.5}, (-2.6, 2.6)), ({"step": 1.5, "range": [-3.0, 4.5]}, (-3, 4.5))],
)
def test_a_direction_reaches_as_far_as_it_was_tested(quality: dict[str, Any], ends: tuple[float, float]) -> None:
    direction = Direction("smile", "w", "x", np.ones(1), 1.0, 0, 1, quality)
    assert reach(direction) == ends


def test_few_pictures_are_drawn() -> None:
    drawn = []
    solve_amount(lambda a: drawn.append(a) or a, 1.1)
    assert len(drawn) <= 9


def test_the_oval_covers_all_but_the_face() -> None:
    picture = Image.new("RGB", (200, 200), "white")
    shown = np.asarray(Presentation(oval=True, background="#102030").show(picture))
    for y, x in ((0, 0), (199, 100), (100, 2), (10, 100)):
        assert tuple(shown[y, x]) == (16, 32, 48)
    assert shown[60:150, 70:130].min() == 255
    inside = (shown[..., 0] > 128).mean()
    assert inside == pytest.approx(math.pi * 0.27 * 0.40, rel=0.01)  # the ellipse's area
    assert (shown[:, ::-1] == shown).all()
    assert Presentation(size=64).show(picture).size == (64, 64)
    assert Presentation().show(picture) is picture
    for wrong in ({"background": "no colour"}, {"size": 0}):
        with pytest.raises(ParamsError):
            Presentation(**wrong)


def test_the_paragraph_has_what_was_measured() -> None:
    facts = {"ganvert": "1", "method": "w", "generator": "f" * 64, "recipe": "ffhq", "directions": "smile (x)"}
    rows = [
        {
            "person": person,
            "direction": "smile",
            "amount": amount,
            "target": "",
            "reached": "",
            "identity": 0.1 * amount,
        }
        | {"after_smile": 1.0 + amount / 10 + (person == "b") / 10}
        for person in "ab"
        for amount in (0, 2)
    ]
    text = methods_text(rows, facts, Presentation(size=300, oval=True))
    assert "from photographs of 2 people" in text
    assert "Measured smile was on average 1.05 at +0 (n = 2), 1.25 at +2 (n = 2)." in text
    assert "was 0.20 on average" in text
    assert "300 px" in text and "oval mask in #808080" in text
    assert "target" not in text
    solved = [{**row, "target": 1.2, "reached": int(row["amount"] > 0)} for row in rows]
    text = methods_text(solved, facts, Presentation())
    assert "2 of 4 targets were reached" in text
    assert "at target 1.2 (n = 4)" in text


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({}, "sets.mine: directions: wanted one or more"),
        ({"directions": {"smile": [1, 1]}}, "smile: wanted different numbers"),
        ({"directions": {"smile": [1, "1"]}}, "smile: wanted different numbers"),
        ({"directions": {"smile": []}}, "smile: wanted different numbers"),
        ({"directions": {"smile": ["p101"]}}, "wanted a percentile from p0 to p100"),
        ({"directions": {"smile": [1e9]}}, "wanted a number from -1000 to 1000"),
        ({"targets": {"ganspace_1": [1]}}, "unknown score in targets 'ganspace_1'"),
        ({"targets": {"smile": ["p90"]}}, "targets"),
        ({"directions": {"smile": [1]}, "size": 0}, "size: wanted 1 or more"),
    ],
)
def test_sets_that_cannot_be_made_are_refused(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(GanvertError, match=says):
        params.build(StimuliSpec, raw, "sets.mine")


def test_a_set_gives_its_directions_and_then_its_targets() -> None:
    smile = Direction("smile", "w", "test", np.eye(4)[0], 1.0, 0, 2)
    spec = params.build(StimuliSpec, {"directions": {"smile": [-1, "p90"]}, "targets": {"smile": [1.5]}}, "sets.mine")
    first, second = spec.series({"smile": smile})
    assert (first.amounts, first.solved, first.percentiles) == ([-1, Percentile(90)], False, True)
    assert (second.amounts, second.solved, second.file("ann", 1.5)) == ([1.5], True, "ann_smile_to_1.5.png")
    odd = dataclasses.replace(first, name="../a:b/c")  # as a table of somebody else may call it
    assert odd.file("ann", 1.0) == "ann__a-b_c_+1.png"
    with pytest.raises(ParamsError, match="wanted a recipe that aligns"):
        check_series([second], measured=False)
    check_series([first, second], measured=True)


def test_methods_tell_of_amounts_and_targets_of_one_direction(tmp_path: Path) -> None:
    smile = Direction("smile", "w", "test", np.eye(4)[0], 1.0, 0, 2, quality={"range": [-3, 3]})
    spec = params.build(StimuliSpec, {"directions": {"smile": [-1]}, "targets": {"smile": [1.5]}}, "sets.mine")
    rows = [{"person": "ann", "direction": "smile", "amount": amount, "target": target, "reached": 1, "percentile": ""}
            for amount, target in ((-1.0, ""), (2.0, 1.5))]  # fmt: skip
    facts = {"ganvert": "1", "method": "mine", "generator": "g", "recipe": "ffhq"}
    write_set(tmp_path, rows, spec.series({"smile": smile}), spec, facts)
    text = (tmp_path / "methods.txt").read_text()
    assert "smile (test in W, rows 0 to 1) and smile (test in W, rows 0 to 1, amounts from -3 to 3)" in text
