"""What a user does to a face: a list of changes with its history, and the list as a block for params.yaml."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import yaml

from ganvert.base.errors import ParamsError

__all__ = ["Change", "Changes", "History", "params_block"]

_MOST = 100  # states that are kept for undo


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """A direction and how far a face moves along it.

    Attributes:
        direction: the name of its slider, that of a direction in the table.
        amount: in steps of the direction, a finite number.
        muted: whether it is left out of the picture for now.
        rows: the half-open range of rows of ws that move; None for the direction's own.
        free: name of the direction that moves in its place and leaves no other score alone; empty for itself.
    """

    direction: str
    amount: float
    muted: bool = False
    rows: tuple[int, int] | None = None
    free: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.amount):
            raise ParamsError(f"{self.direction}: wanted a finite amount, got {self.amount}")

    @property
    def name(self) -> str:
        """What moves, as the command line and params.yaml name it: ``smile``, ``smile@0:3``."""
        name = self.free or self.direction
        return name if self.rows is None else f"{name}@{self.rows[0]}:{self.rows[1]}"


@dataclasses.dataclass(frozen=True)
class Changes:
    """The changes of a picture in their order. They add up, so that the order is the user's own and changes nothing.

    Attributes:
        items: the changes.
        region: the part of the face that alone changes, such as ``mouth``; empty for everything.
    """

    items: tuple[Change, ...] = ()
    region: str = ""

    @property
    def amounts(self) -> dict[str, float]:
        """Name to amount of all changes that act."""
        return {item.name: item.amount for item in self.items if item.amount and not item.muted}

    @property
    def title(self) -> str:
        """What a history calls it, such as ``smile +2, age -1``."""
        moves = ", ".join(f"{name} {amount:+g}" for name, amount in self.amounts.items())
        return f"{moves} ({self.region})" if moves and self.region else moves or "unedited"

    @property
    def heard(self) -> Changes:
        """The changes without those that are muted, which draw nothing; none has no region either."""
        heard = tuple(item for item in self.items if not item.muted)
        return Changes(heard, self.region if heard else "")

    def change_of(self, direction: str) -> Change:
        """Return the change of a direction, muted or not; one of amount 0 where it has none."""
        none = Change(direction=direction, amount=0.0)
        return next((item for item in self.items if item.direction == direction), none)

    def amount_of(self, direction: str) -> float:
        """Return the amount of a direction, muted or not; 0 where it has none."""
        return self.change_of(direction).amount

    def with_amount(self, direction: str, amount: float) -> Changes:
        """Return the changes with another amount of a direction; one that is new comes last, an amount of 0 removes."""
        known = self.change_of(direction)
        change = dataclasses.replace(known, amount=round(amount, 6) + 0.0, muted=False)
        if not change.amount:
            return self.without(direction)
        return self._replaced(change) if known in self.items else self._with((*self.items, change))

    def on_rows(self, direction: str, rows: tuple[int, int] | None) -> Changes:
        """Return the changes with a direction on other rows; None for its own."""
        return self._replaced(dataclasses.replace(self.change_of(direction), rows=rows))

    def freed(self, direction: str, free: str) -> Changes:
        """Return the changes with another direction in the place of one (:attr:`Change.free`); empty for itself."""
        return self._replaced(dataclasses.replace(self.change_of(direction), free=free))

    def without(self, direction: str) -> Changes:
        """Return the changes without those of a direction."""
        return self._with(item for item in self.items if item.direction != direction)

    def toggled(self, direction: str) -> Changes:
        """Return the changes with a direction muted, or heard again."""
        known = self.change_of(direction)
        return self._replaced(dataclasses.replace(known, muted=not known.muted))

    def moved_up(self, direction: str) -> Changes:
        """Return the changes with a direction one place further up."""
        items = list(self.items)
        place = next((i for i, item in enumerate(items) if item.direction == direction), 0)
        if place:
            items[place - 1 : place + 1] = [items[place], items[place - 1]]
        return self._with(items)

    def within(self, region: str) -> Changes:
        """Return the changes with another part of the face that alone changes; empty for everything."""
        return dataclasses.replace(self, region=region)

    def _replaced(self, change: Change) -> Changes:
        """Return the changes with one in the place of its direction's; the same where there is none."""
        return self._with(change if item.direction == change.direction else item for item in self.items)

    def _with(self, items: Iterable[Change]) -> Changes:
        return dataclasses.replace(self, items=tuple(items))


class History:
    """States of the changes, and which of them is shown. A new state drops those that were undone."""

    def __init__(self) -> None:
        self.states = [Changes()]
        self.place = 0

    @property
    def now(self) -> Changes:
        """The changes that are shown."""
        return self.states[self.place]

    def add(self, changes: Changes) -> bool:
        """Show other changes; return whether they differ from those that were shown."""
        if changes == self.now:
            return False
        self.states = [*self.states[: self.place + 1], changes][-_MOST:]
        self.place = len(self.states) - 1
        return True

    def go(self, place: int) -> bool:
        """Show an earlier or later state; return whether there is one of that number that was not shown."""
        if place == self.place or not 0 <= place < len(self.states):
            return False
        self.place = place
        return True

    def undo(self) -> bool:
        """Show the state before; return whether there is one."""
        return self.go(self.place - 1)

    def redo(self) -> bool:
        """Show the state that was undone last; return whether there is one."""
        return self.go(self.place + 1)


def params_block(
    changes: Changes,
    method: str,
    starts: Sequence[str],
    region: str = "square",
    generator: Mapping[str, object] | None = None,
) -> str:
    """Return the changes as YAML for params.yaml, with which `dvc repro` renders them for all photographs.

    Args:
        changes: at least one that acts.
        method: the preset that finds the codes.
        starts: the files that the method starts from, as a project names them.
        region: what is pasted back.
        generator: its section, where it is not the default one.

    Raises:
        ParamsError: no change acts.
    """
    amounts = changes.amounts
    if not amounts:
        raise ParamsError("there is no edit yet: move a slider, then the block has something to say")
    edit: dict[str, object] = {"directions": dict(amounts), "amounts": [1.0], "pasted": [1.0]}
    if len(amounts) == 1:
        ((name, amount),) = amounts.items()
        edit = {"direction": name, "amounts": [amount], "pasted": [amount]}
    if changes.region:
        edit = {"edit": "local", "mask": changes.region, **edit}
    paste = {"mode": "difference", "feather": 0.1, "colour_match": False, "region": region}
    sections: Mapping[str, object] = {
        **({"generator": dict(generator)} if generator else {}),
        "invert": {"methods": {method: starts[0] if len(starts) == 1 else list(starts)}},
        "edit": {"method": method, "paste": paste, "edits": {"studio": edit}},
    }
    return yaml.safe_dump(sections, sort_keys=False, default_flow_style=None, width=110)
