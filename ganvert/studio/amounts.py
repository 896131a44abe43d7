"""Amounts by other means than a slider: percentiles, measured scores, and the part of the face that changes."""

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

__all__ = ["match", "set_amount", "set_region"]

_TRIES = 16  # pictures that a search takes at most, about


def set_amount(session: Session, asked: Mapping[str, Any]) -> None:
    """Move along a direction to an amount as text: standard deviations, or a percentile of the samples (p90)."""
    name, code, models = str(asked["direction"]), session.code, session.models
    wanted = read_amount(str(asked["amount"]).strip())
    with models.drawing:
        amount = models.population.amount(wanted, models.direction(name, code), code)
    session.history.add(session.history.now.with_amount(name, amount))


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
    models.direction(name, code)
    try:
        target = float(str(asked["target"]))
    except ValueError as error:
        raise ParamsError(f"{name}: wanted a number to be measured, got {asked['target']!r}") from error
    now = session.history.now
    mask = session.mask(now)

    def work(task: Task) -> None:
        tried: dict[float, float | None] = {}

        def measure(amount: float) -> float | None:
            if amount not in tried:
                picture = models.draw(code, now.with_amount(name, amount).heard, mask)
                tried[amount] = models.scores(picture).get(name)
                task.report(min(0.95, len(tried) / _TRIES))
            return tried[amount]

        solved = solve_amount(measure, target)
        if solved is None:
            raise UnsupportedError(f"{name}: no face is found on the picture, so that nothing can be measured")
        session.history.add(session.history.now.with_amount(name, solved.amount))
        where = "" if solved.reached else f"; {target:g} is out of reach within 4 standard deviations"
        task.said = f"{name} measures {solved.score:.3g} at {solved.amount:+.2f}{where}"

    session.begin(f"{name} to {target:g}", work)
