"""Amounts by other means than a slider, and what a direction moves: rows, conditions, the part of the face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.base.registry import lookup
from ganvert.editing.amounts import read_amount
from ganvert.editing.stimuli import solve_amount
from ganvert.faces import ATTRIBUTES
from ganvert.faces.parsing import REGIONS
from ganvert.studio.jobs import Task

if TYPE_CHECKING:
    from ganvert.studio.session import Session

__all__ = ["match", "set_amount", "set_free", "set_region", "set_rows"]

_TRIES = 16  # pictures that a search takes at most, about


def set_amount(session: Session, asked: Mapping[str, Any]) -> None:
    """Move along a direction to an amount as text: steps of it, or a percentile of the samples (p90)."""
    name, code, models = str(asked["direction"]), session.code, session.models
    wanted = read_amount(str(asked["amount"]).strip())
    moving = models.direction(session.history.now.change_of(name).name, code)
    with models.drawing:
        amount = models.population.amount(wanted, moving, code)
    session.history.add(session.moved(name, amount))


def set_rows(session: Session, asked: Mapping[str, Any]) -> None:
    """Let an edit move other rows of ws than its direction's own, by name; empty for its own."""
    name, code, models = str(asked["direction"]), session.code, session.models
    rows, wanted = None, str(asked.get("rows", ""))
    if wanted:
        rows = lookup(models.rows_of(name, code), wanted, f"range of rows for {name}")
        direction = models.direction(name, code)
        rows = None if rows == (direction.first_row, direction.last_row) else rows
    session.history.add(session.history.now.on_rows(name, rows))


def set_free(session: Session, asked: Mapping[str, Any]) -> None:
    """Let an edit hold the other scores that its direction is conditioned on, or take the one found without them."""
    name = str(asked["direction"])
    free = "" if asked.get("held", True) else session.models.free_of(name, session.code)
    if not free and not asked.get("held", True):
        raise UnsupportedError(f"{name}: the table of directions has none of this score without conditions")
    session.history.add(session.history.now.freed(name, free))


def set_region(session: Session, asked: Mapping[str, Any]) -> None:
    """Let the edits change a part of the face alone; empty for everything."""
    region = str(asked.get("region", ""))
    if region:
        lookup(REGIONS, region, "region of a face")
        if not session.models.needs_face:
            raise UnsupportedError("regions are those of faces, and these crops are aligned to none")
    session.models.mask(session.face, region)
    session.history.add(session.history.now.within(region))


def match(session: Session, asked: Mapping[str, Any]) -> None:
    """Begin to seek the amount of a direction at which the score of its name is measured to be a given one."""
    name, code, models = str(asked["direction"]), session.code, session.models
    lookup(ATTRIBUTES, name, "score")
    ends = models.reach(name)
    models.direction(name, code)
    try:
        target = float(str(asked["target"]))
    except ValueError as error:
        raise ParamsError(f"{name}: wanted a number to be measured, got {asked['target']!r}") from error
    history, now = session.history, session.history.now
    mask = session.mask(now)

    def work(task: Task) -> None:
        tried: dict[float, float | None] = {}

        def measure(amount: float) -> float | None:
            amount = round(amount, 2)  # as its slider shows it
            if amount not in tried:
                picture = models.draw(code, now.with_amount(name, amount).heard, mask)
                tried[amount] = models.scores(picture).get(name)
                task.report(min(0.95, len(tried) / _TRIES))
            return tried[amount]

        solved = solve_amount(measure, target, ends)
        if solved is None:
            raise UnsupportedError(f"{name}: no face is found on the picture, so that nothing can be measured")
        amount = round(solved.amount, 2)
        history.add(history.now.with_amount(name, amount))  # of the face that it was sought for
        where = "" if solved.reached else f"; {target:g} is out of reach from {ends[0]:g} to {ends[1]:g}"
        task.said = f"{name} measures {solved.score:.3g} at {amount:+g} on the picture by {code.method}{where}"

    session.begin(f"{name} to {target:g}", work)
