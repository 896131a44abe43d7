"""The list of changes, undo and redo, and the block for params.yaml."""

from __future__ import annotations

import pytest
import yaml

from ganvert.base import params
from ganvert.base.errors import ParamsError
from ganvert.editing.spec import EditSpec
from ganvert.studio.changes import Change, Changes, History, params_block


def test_changes_add_up_in_the_users_order() -> None:
    changes = Changes().with_amount("smile", 2).with_amount("age", -1).with_amount("yaw", 0.5)
    assert changes.amounts == {"smile": 2, "age": -1, "yaw": 0.5}
    assert list(changes.moved_up("yaw").amounts) == ["smile", "yaw", "age"]
    assert changes.moved_up("smile") == changes
    assert changes.with_amount("smile", 1).amounts == {"smile": 1, "age": -1, "yaw": 0.5}
    assert changes.with_amount("smile", 0).amounts == changes.without("smile").amounts == {"age": -1, "yaw": 0.5}
    assert changes.title == "smile +2, age -1, yaw +0.5" and Changes().title == "unedited"


def test_a_muted_change_keeps_its_amount_and_draws_nothing() -> None:
    changes = Changes().with_amount("smile", 2).with_amount("age", -1)
    muted = changes.toggled("smile")
    assert muted.amounts == {"age": -1} and muted.amount_of("smile") == 2
    assert muted.toggled("smile") == changes


@pytest.mark.parametrize("amount", [float("nan"), float("inf")])
def test_amounts_are_finite(amount: float) -> None:
    with pytest.raises(ParamsError, match="smile"):
        Change(direction="smile", amount=amount)


def test_a_change_keeps_its_rows_and_its_version() -> None:
    changes = Changes().with_amount("smile", 2).with_amount("age", -1).on_rows("smile", (0, 3))
    assert changes.amounts == {"smile@0:3": 2, "age": -1} and changes.title == "smile@0:3 +2, age -1"
    assert changes.freed("smile", "grin").amounts == {"grin@0:3": 2, "age": -1}
    assert changes.with_amount("smile", 1).toggled("age").amounts == {"smile@0:3": 1}
    assert changes.freed("smile", "grin").freed("smile", "").on_rows("smile", None).amounts == {"smile": 2, "age": -1}
    assert changes.amount_of("smile") == 2 and changes.on_rows("yaw", (0, 3)) == changes


def test_undo_redo_and_a_new_branch() -> None:
    history, states = History(), [Changes().with_amount("smile", amount) for amount in (1, 2, 3)]
    assert all(map(history.add, states)) and not history.add(states[-1])
    assert history.undo() and history.now == states[1]
    assert history.undo() and history.undo() and history.now == Changes()
    assert not history.undo()
    assert history.redo() and history.now == states[0]
    assert history.go(3) and history.now == states[2] and not history.redo() and not history.go(4)
    history.undo()
    other = Changes().with_amount("age", 1)
    assert history.add(other) and not history.redo()
    assert history.states == [Changes(), states[0], states[1], other]


def test_the_history_is_bounded() -> None:
    history = History()
    for i in range(1, 300):
        history.add(Changes().with_amount("smile", i / 100))
    assert len(history.states) == 100 and history.now.amounts == {"smile": 2.99}
    assert history.undo() and history.now.amounts == {"smile": 2.98}


@pytest.mark.parametrize(
    ("amounts", "shares"),
    [({"smile": 2.0}, {"smile": 1.0}), ({"smile": 2.0, "age": -1.5}, {"smile": 2.0, "age": -1.5})],
)
def test_the_block_is_an_edit_of_params_yaml(amounts: dict[str, float], shares: dict[str, float]) -> None:
    changes = Changes(tuple(Change(direction=name, amount=amount) for name, amount in amounts.items()))
    heard = changes.with_amount("yaw", 1).toggled("yaw")
    block = yaml.safe_load(params_block(heard, "encoder_wplus", ["w.safetensors"]))
    spec = params.build(EditSpec, block["edit"]["edits"]["studio"], "edit.edits.studio")
    assert spec.shares == shares
    assert {name: share * spec.amounts[0] for name, share in spec.shares.items()} == amounts
    assert block["edit"]["method"] == "encoder_wplus" and spec.pasted == spec.amounts
    assert block["invert"]["methods"] == {"encoder_wplus": "w.safetensors"}
    block = yaml.safe_load(params_block(heard, "balanced", ["w.safetensors", "base.safetensors"]))
    assert block["invert"]["methods"] == {"balanced": ["w.safetensors", "base.safetensors"]}


def test_there_is_no_block_without_an_edit() -> None:
    with pytest.raises(ParamsError, match="no edit yet"):
        params_block(Changes().with_amount("smile", 1).toggled("smile"), "encoder_wplus", ["w.safetensors"])
