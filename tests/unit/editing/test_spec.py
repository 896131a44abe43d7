"""Edits as params.yaml names them: refused before any work where they cannot be right."""

from __future__ import annotations

from typing import Any

import pytest

from ganvert.base import params
from ganvert.base.errors import GanvertError
from ganvert.editing.edits import EDITS
from ganvert.editing.spec import EditSpec

PAIR = ["a.jpg", "a_glasses.jpg"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "edit shift: wanted a direction, got none"),
        ({"direction": "smile", "edit": "shiftt"}, "Did you mean 'shift'"),
        ({"direction": "smile", "amounts": [1, 1]}, "wanted different numbers"),
        ({"direction": "smile", "amounts": [1, "1.0"]}, "wanted different numbers"),
        ({"direction": "smile", "amounts": ["p50", "p50.0"]}, "wanted different numbers"),
        ({"direction": "smile", "amounts": []}, "at least one"),
        ({"direction": "smile", "amounts": [float("nan")]}, "wanted a number that is finite"),
        ({"direction": "smile", "amounts": [1], "pasted": [2]}, "pasted: .* not in amounts"),
        ({"direction": "smile", "references": ["a.jpg"]}, "edit shift: wanted 0 reference images"),
        ({"direction": "smile", "mask": "eyes.png"}, "edit shift: wanted no mask"),
        ({"edit": "blend"}, "edit blend: wanted 1 reference images .target., got 0; name photographs of the run"),
        ({"edit": "blend", "references": PAIR, "direction": "smile"}, "edit blend: wanted no direction; leave it out"),
        ({"edit": "transfer", "references": ["a.jpg"]}, "wanted 2 reference images .before, after., got 1"),
        ({"edit": "transfer", "references": PAIR, "options": {"part": "own", "amount": 1}}, "options: unknown keys"),
        ({"edit": "transfer", "references": PAIR, "options": {"part": "owm"}}, "Did you mean 'own'"),
    ],
)
def test_requests_that_cannot_be_met(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(GanvertError, match=message):
        params.build(EditSpec, raw, "edit.edits.mine")


def test_references_make_as_many_edits_as_they_fill() -> None:
    assert list(EditSpec(direction="smile").groups()) == [()]
    assert list(EditSpec(edit="blend", references=("a", "b", "c")).groups()) == [("a",), ("b",), ("c",)]
    assert list(EditSpec(edit="transfer", references=("a", "b", "c", "d")).groups()) == [("a", "b"), ("c", "d")]


def test_options_change_the_edit() -> None:
    assert EditSpec(direction="smile").make() == EDITS["shift"]
    assert EditSpec(edit="interpolate", references=("a",), options={"part": "detail"}).make() == EDITS["blend"]
