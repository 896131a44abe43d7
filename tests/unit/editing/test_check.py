"""What is wrong with an edited picture is said; what was not measured is not held against it."""

from __future__ import annotations

from typing import Any

import pytest

from ganvert.editing.check import attribute_of, failures

BEFORE = {"identity_mobilefacenet": 1.0, "smile": 1.0}
GOOD = {"identity_mobilefacenet": 0.8, "smile": 1.3}
ASKED: dict[str, Any] = {"attribute": "smile", "change_per_unit": 0.13, "sigmas": 2.5}


@pytest.mark.parametrize(
    ("edited", "amount", "facts", "says"),
    [
        ({}, 2, {}, None),
        ({"smile": None}, 2, {}, "no face is found any more"),
        ({"identity_mobilefacenet": 0.44}, 2, {}, "another person: cosine 0.44, wanted 0.45 or more"),
        ({"identity_dlib": 0.7}, 2, {}, None),  # the cosine tells people apart better
        ({"identity_mobilefacenet": None, "identity_dlib": 0.7}, 2, {}, "another person: distance 0.70"),
        ({"smile": 0.7}, 2, {}, "smile did not follow: 1 became 0.7"),
        ({"smile": 0.7}, -2, {}, None),
        ({"smile": 1.04}, 2, {}, "smile did not follow"),  # a fifth of what it should is .052
        ({"smile": 1.06}, 2, {}, None),
        ({"smile": 1.001}, 2, {"change_per_unit": None}, None),
        ({"smile": 1.0}, 2, {"change_per_unit": None}, "smile did not follow"),
        ({"smile": 0.7}, 2, {"attribute": None}, None),
        ({}, 2, {"sigmas": -6.2}, "the code lies -6.2 standard deviations from the samples, wanted 6 or less"),
        ({}, 2, {"sigmas": None}, None),
        ({"smile": 0.2, "identity_mobilefacenet": 0.1}, 0, {"sigmas": 9.0}, None),  # nothing was edited
    ],
)
def test_failures(edited: dict[str, Any], amount: float, facts: dict[str, Any], says: str | None) -> None:
    before = {**BEFORE, "identity_mobilefacenet": None} if edited.get("identity_mobilefacenet", 1) is None else BEFORE
    found = failures({**GOOD, **edited}, before, amount, **{**ASKED, **facts})
    assert len(found) == (says is not None)
    assert says is None or found[0].startswith(says)


def test_a_picture_that_never_had_a_face_has_not_lost_it() -> None:
    assert failures({"smile": None}, {"smile": None}, 2.0, attribute="smile") == []
    assert len(failures({**GOOD, "smile": None, "identity_mobilefacenet": 0.1}, BEFORE, 2.0, sigmas=9.0)) == 3


@pytest.mark.parametrize(
    ("direction", "quality", "attribute", "change"),
    [
        ("smile", {}, "smile", None),
        ("mouth_open", {"change_per_unit": 0.05}, "mouth_open", 0.05),
        ("age-not-yaw", {}, "age", None),
        ("component_1", {"change_per_unit": 1.0}, None, 1.0),
        ("smile", {"score": "age", "change_per_unit": 7}, "age", 7),
        ("grin", {"score": "smile_expression", "change_per_unit": 7.0}, None, None),
        ("smile", {"score": "smile_expression", "change_per_unit": 7.0}, "smile", None),  # of another score
        ("smile", {"change_per_unit": float("nan")}, "smile", None),
    ],
)
def test_the_attribute_is_the_fitted_score_or_the_one_of_the_name(
    direction: str, quality: dict[str, Any], attribute: str | None, change: float | None
) -> None:
    assert attribute_of(direction, quality, ["yaw", "age", "smile", "mouth_open"]) == (attribute, change)
