"""What the buttons of the page's script do, by name; each takes a session and what was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvert.base.errors import InputError
from ganvert.base.registry import lookup
from ganvert.images import to_png
from ganvert.studio import amounts, compare, keep, people, stimuli
from ganvert.studio.changes import Changes

if TYPE_CHECKING:
    from ganvert.studio.session import Session

__all__ = ["ACTIONS", "STAGED"]

Asked = Mapping[str, Any]
Action = Callable[["Session", Asked], Mapping[str, Any] | None]


def _cancel(session: Session, asked: Asked) -> None:
    session.end()


def _quality(session: Session, asked: Asked) -> None:
    """Refine by the method of another card; without a photograph it is the one for the next."""
    method = str(asked.get("method"))
    lookup(dict.fromkeys(session.models.ladder), method, "quality")
    session.quality = method
    if session.found:
        session.refine(method)


def _stop(session: Session, asked: Asked) -> None:
    if session.task is not None:
        session.task.cancel()


def _step(session: Session, asked: Asked) -> None:
    what, history = str(asked["what"]), session.history
    if what == "go":
        history.go(int(asked["place"]))
    elif what == "reset":
        history.add(Changes())
    else:
        (history.undo if what == "undo" else history.redo)()


def _change(session: Session, asked: Asked) -> None:
    change = {"delete": Changes.without, "mute": Changes.toggled, "up": Changes.moved_up}[str(asked["what"])]
    session.history.add(change(session.history.now, str(asked.get("direction", ""))))


def _codes(session: Session, asked: Asked) -> Mapping[str, Any]:
    data, name = keep.codes_file(session.models, *session.work())
    kind = "application/zip" if name.endswith(".zip") else "application/octet-stream"
    return {"download": {"picture": session.pictures.add(kind, data), "name": f"{session.stem}_{name}"}}


def _save_people(session: Session, asked: Asked) -> Mapping[str, Any]:
    if session.people.result is None:
        raise InputError("there is no picture of both people yet: make one first")
    picture, title, facts = session.people.result
    name = session.file_name(title, ".png")
    return {"download": {"picture": session.pictures.add("image/png", to_png(picture, facts)), "name": name}}


def _forget_folder(session: Session, asked: Asked) -> None:
    session.check_free()
    session.folder.delete()
    session.stimuli = None


def _meet(session: Session, asked: Asked) -> None:
    session.check_free()
    role = str(asked.get("role"))
    data = session.inbox.pop(role, None)
    if data is None:
        raise InputError("The photograph did not arrive; send it again.")
    people.meet(session, role, data, Path(str(asked.get("name", "photograph"))).name)


#: Name -> what is done.
ACTIONS: Mapping[str, Action] = {
    "look": lambda session, asked: None,
    "edit": lambda session, asked: None,  # the stage goes back to it
    "method": lambda session, asked: session.show_method(str(asked.get("method"))),
    "quality": _quality,
    "cancel": _cancel,
    "stop": _stop,
    "undo": _step,
    "redo": _step,
    "go": _step,
    "reset": _step,
    "delete": _change,
    "mute": _change,
    "up": _change,
    "amount": amounts.set_amount,
    "region": amounts.set_region,
    "rows": amounts.set_rows,
    "free": amounts.set_free,
    "match": amounts.match,
    "compare": compare.compare,
    "meet": _meet,
    "combine": people.combine,
    "animate": people.animate,
    "diffuse": people.diffuse,
    "save people": _save_people,
    "sweep": keep.sweep,
    "codes": _codes,
    "apply": keep.apply_to_folder,
    "forget": _forget_folder,
    "stimuli": stimuli.make,
    "tick": stimuli.tick,
    "export": stimuli.export,
}
#: Those after which the stage stays as it is: they put something on it, or have nothing to do with it.
STAGED = frozenset({
    "look", "quality", "stop", "cancel", "compare", "meet", "combine", "animate", "diffuse", "save people", "sweep",
    "codes", "apply", "forget", "stimuli", "tick", "export",
})  # fmt: skip
