"""What the page shows of a session, as one JSON object that the page's script draws."""

from __future__ import annotations

from typing import Any

from ganvert.editing.animation import can_write_video
from ganvert.studio.changes import Change, Changes
from ganvert.studio.compare import compare_view, figure
from ganvert.studio.jobs import Job
from ganvert.studio.people import people_view
from ganvert.studio.session import Session
from ganvert.studio.stimuli import stimuli_view
from ganvert.studio.times import EXPECTED

__all__ = ["refinement_of", "task_of", "view_of"]

_THUMB_PX = 96


def view_of(session: Session, message: str = "", wrong: bool = False, **more: Any) -> dict[str, Any]:
    """Return what the page shows; before there is a photograph, that there is none.

    Args:
        session: the user's work.
        message: a sentence above the picture; empty for none.
        wrong: whether it tells of a mistake.
        more: further parts, such as a picture to download.
    """
    view: dict[str, Any] = {"token": session.token, "message": message, "wrong": wrong, "changes": [], **more}
    view |= {"refinement": refinement_of(session), "task": task_of(session), "video": can_write_video()}
    view |= {"cards": _cards(session), "quality": session.quality}
    opened = session.opened
    if opened is None or not session.found:
        return view
    history, face = session.history, session.face
    return view | {
        "name": opened.name,
        "photograph": session.shown("photograph", opened.faces[0].image_id, lambda: opened.small),
        "size": list(opened.size),
        "faces": [face.aligned.quad.round(1).tolist() for face in opened.faces],
        "chosen": session.chosen,
        "crop": session.shown("crop", face.image_id, lambda: face.aligned.crop),
        "before": session.shown_changes(Changes()),
        "after": session.shown_changes(history.now),
        "title": history.now.title,
        "method": session.method,
        "methods": list(session.found),
        "changes": [_change(session, item) for item in history.now.items],
        "region": history.now.region,
        "directions": [name for names in session.models.directions for name in names],
        "ranges": {name: session.models.reach(name) for names in session.models.directions for name in names},
        "scores": session.models.usual if session.models.needs_face else {},
        "stage": _stage(session),
        "compare": compare_view(session),
        "people": people_view(session),
        "folder": len(session.folder.files),
        "stimuli": stimuli_view(session),
        "history": [
            {
                "title": state.title,
                "thumb": session.thumb(state, _THUMB_PX),
                "now": place == history.place,
            }
            for place, state in enumerate(history.states)
        ],
        "can_undo": history.place > 0,
        "can_redo": history.place + 1 < len(history.states),
        "badge": session.measured.badge if session.measured else "",
        "places": session.measured.places if session.measured else {},
        "effects": _effects(session),
        "pasted": session.pictures.kept(session.pasted_name),
    }


def _cards(session: Session) -> list[dict[str, Any]]:
    """Return what the page shows of the methods to choose from: what to expect of each, and its example."""
    models = session.models
    return [
        {
            "name": name,
            "lines": models.times.lines(name),
            "example": f"{name}.jpg" if models.needs_face and name in EXPECTED else None,
        }
        for name in models.ladder
    ]


def _change(session: Session, item: Change) -> dict[str, Any]:
    """Return what the page shows of a change, and what may be chosen for it."""
    known = session.models.rows_of(item.direction, session.code)
    own = session.models.direction(item.direction, session.code)
    tested = None if item.rows else session.models.direction(item.name, session.code).tested  # on its own rows
    return {
        "name": item.name,
        "direction": item.direction,
        "amount": item.amount,
        "muted": item.muted,
        "rows": next((name for name, rows in known.items() if rows == item.rows), ""),
        "ranges": [["", f"own rows, {_rows((own.first_row, own.last_row))}"]]
        + [[name, f"{name}, {_rows(rows)}"] for name, rows in known.items()],
        "conditions": list(own.conditions),
        "can_be_free": bool(session.models.free_of(item.direction, session.code)),
        "held": not item.free,
        "tested": "tested from {:g} to {:g}".format(*tested) if tested else "not tested",
    }


def _rows(rows: tuple[int, int]) -> str:
    first, last = rows
    return f"{first} to {last - 1}" if last - first > 1 else f"{first}"


def refinement_of(session: Session) -> dict[str, Any] | None:
    """Return what the page shows of the inversion in the background; None where there is none."""
    job = session.refinement
    if job is None:
        return None
    return {
        **_progress_of(job),
        "method": job.method,
        "forming": job.forming if job.active else None,
    }


def _progress_of(job: Job) -> dict[str, Any]:
    """Return how far work in the background is, and why it ended early if it did."""
    return {"state": job.state, "done": round(job.done, 4), "left": job.left, "reason": job.reason}


def task_of(session: Session) -> dict[str, Any] | None:
    """Return what the page shows of other work in the background; None where there was none."""
    task = session.task
    if task is None:
        return None
    picture, name = task.download or (None, "")
    return {
        **_progress_of(task),
        "title": task.title,
        "said": task.said,
        "command": task.command,
        "download": {"picture": picture, "name": name} if session.pictures.kept(picture) else None,
    }


def _stage(session: Session) -> dict[str, Any] | None:
    """Return what stands on the stage in place of the edit, while its pictures are kept."""
    stage = session.stage
    if stage is None or not all(session.pictures.has(name) for name, _ in (stage.left, stage.right)):
        return None
    return {"left": list(stage.left), "right": list(stage.right)}


def _effects(session: Session) -> list[dict[str, Any]]:
    """Return every score before and after the edit, and how far it moved in shares of what three deviations are."""
    if (measured := session.measured) is None:
        return []
    rows = []
    for name, before in measured.before.items():
        after = measured.after.get(name)
        change = 0.0 if before is None or after is None else after - before
        spread = session.models.spreads.get(name) or max(abs(before or 0), abs(after or 0)) or 1.0
        rows.append(
            {
                "name": name,
                "before": figure(before),
                "after": figure(after),
                "share": max(-1.0, min(1.0, change / (3 * spread))),
            }
        )
    return rows
