"""Two pictures of one photograph side by side: by two methods, or with two edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganvert.base.errors import InputError
from ganvert.base.registry import lookup
from ganvert.images import difference_map
from ganvert.scoring.metrics import METRICS
from ganvert.studio.changes import Changes
from ganvert.studio.desk import Compared, Stage

if TYPE_CHECKING:
    from PIL import Image

    from ganvert.studio.session import Session

__all__ = ["compare", "compare_view", "figure"]

_STATES = 8  # of the history, the newest ones


def _sides(session: Session) -> dict[str, tuple[str, Changes]]:
    """Return what can be compared: a key to its method and its changes."""
    states = list(dict.fromkeys([Changes(), *(state.heard for state in session.history.states[-_STATES:])]))
    return {f"{method}: {state.title}": (method, state) for method in session.found for state in states}


def _picture(session: Session, key: str) -> Image.Image:
    if key == "photograph":
        crop = session.face.aligned.crop
        side = session.models.generator.resolution
        return crop if crop.width == side else crop.resize((side, side))
    method, changes = lookup(_sides(session), key, "picture to compare")
    return session.picture(changes, method)


def compare(session: Session, asked: Mapping[str, Any]) -> None:
    """Compare two pictures: each with the photograph, and both with each other."""
    session.code  # noqa: B018 (raises without a photograph)
    left, right = str(asked.get("left")), str(asked.get("right"))
    if left == right:
        raise InputError(f"{left}: choose two different pictures")
    first, second = _picture(session, left), _picture(session, right)
    models, crop = session.models, session.face.aligned.crop
    measured = [models.compare(picture, crop) for picture in (first, second)]
    rows = [
        (
            f"{name}, to the photograph",
            measured[0][name],
            measured[1][name],
            _better(name, *(m[name] for m in measured)),
        )
        for name in measured[0]
    ]
    scores = [models.scores(picture) for picture in (first, second)]
    rows += [(name, scores[0][name], scores[1].get(name), 0) for name in scores[0]]
    show = session.pictures.show
    session.compared = Compared(
        (left, right), show(difference_map(first, second), 512), rows, models.compare(second, first)
    )
    session.stage = Stage((show(first), left), (show(second), right))


def _better(metric: str, first: float | None, second: float | None) -> int:
    """Return which of two values is better: -1 the first, 1 the second, 0 neither."""
    if first is None or second is None or first == second:
        return 0
    name = next(known for known in METRICS if metric.startswith(known))
    return 1 if (second > first) == METRICS[name].higher_is_better else -1


def compare_view(session: Session) -> dict[str, Any]:
    """Return what the page shows of it."""
    done = session.compared
    view: dict[str, Any] = {"choices": ["photograph", *_sides(session)] if session.found else [], "done": None}
    if done is not None and session.pictures.has(done.difference):
        view["done"] = {
            "sides": list(done.sides),
            "difference": done.difference,
            "rows": [[name, figure(first), figure(second), better] for name, first, second, better in done.rows],
            "between": [[name, figure(value)] for name, value in done.between.items()],
        }
    return view


def figure(value: float | None) -> str:
    """Return what the page shows of a measured value: three digits; 0 for what is nearly nothing."""
    if value is None:
        return "-"
    return "0" if abs(value) < 5e-4 else f"{value:.3g}"
