"""What the controls of the page do: each takes the token of a session and returns its view; errors become sentences."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ganvert.base.errors import GanvertError
from ganvert.base.registry import lookup
from ganvert.studio.actions import ACTIONS, STAGED
from ganvert.studio.offline import gr
from ganvert.studio.session import Session, Sessions
from ganvert.studio.view import refinement_of, task_of, view_of

__all__ = ["Handlers"]

log = logging.getLogger(__name__)
View = dict[str, Any]


class Handlers:
    """What the controls do.

    Args:
        sessions: of all users.
        samples: name to sample photograph.
        sliders: the directions that have one.
    """

    def __init__(self, sessions: Sessions, samples: Mapping[str, Path], sliders: list[str]) -> None:
        self.sessions, self.samples, self.sliders = sessions, samples, sliders
        self.numbers = itertools.count(time.time_ns() // 1_000_000)  # a restarted studio goes on counting

    def view(self, session: Session, **more: Any) -> View:
        """Return what the page shows of a session, numbered: a page that has seen a later one leaves it."""
        return {"number": next(self.numbers), **view_of(session, samples=list(self.samples), **more)}

    def guarded(self, token: Any, work: Callable[[Session], Mapping[str, Any] | None]) -> View:
        """Do something for a session; return its view, with a sentence where it failed."""
        session = self.sessions.of(token)
        try:
            return self.view(session, **(work(session) or {}))
        except GanvertError as error:
            message = str(error)
        except Exception as error:  # the page waits for an answer, whatever went wrong
            log.exception("studio: %s", type(error).__name__)
            message = f"{type(error).__name__}: {error}; the terminal says more"
        try:
            return self.view(session, message=message, wrong=True)
        except GanvertError:  # the picture itself cannot be drawn: what is on the page stays there
            return {**self.partial(session), "number": next(self.numbers), "message": message, "wrong": True}

    def partial(self, session: Session) -> View:
        """Return what changes by itself: how far the work in the background is."""
        return {"partial": True, "refinement": refinement_of(session), "task": task_of(session)}

    def load(self, token: Any) -> tuple[Any, ...]:
        """Return everything for a page that was opened."""
        session = self.sessions.of(token)
        view = self.guarded(session.token, lambda session: None)
        return session.token, view, *self.values(session), self.timer(session)

    def timer(self, session: Session) -> gr.Timer:
        """Return the clock of the page, which runs while something does in the background."""
        return gr.Timer(active=session.busy)

    def values(self, session: Session) -> list[float]:
        """Return where the sliders stand."""
        return [session.history.now.amount_of(name) for name in self.sliders]

    def other(self, token: Any, name: str) -> gr.Slider:
        """Return the slider of a numbered direction that was chosen: its range, and where it stands."""
        session = self.sessions.of(token)
        low, high = session.models.reach(name)
        return gr.Slider(low, high, value=session.history.now.amount_of(name))

    def act(self, token: Any, other: str | None, event: gr.EventData) -> tuple[Any, ...]:
        """Do what a button of the script asks for."""
        asked = dict(event._data or {})
        view = self.guarded(token, lambda session: self._done(session, asked))
        session = self.sessions.of(token)
        return view, *self.values(session), session.history.now.amount_of(other or ""), self.timer(session)

    def _done(self, session: Session, asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
        what = str(asked.get("what"))
        if what in ("open", "sample"):
            name = str(asked.get("name", "photograph"))
            if what == "sample" and name in self.samples:
                session.inbox["photo"] = self.samples[name].read_bytes()
            return self.opened(session, name)
        if what == "face":
            session.choose(int(asked["face"]))
            session.refine(session.quality)
            return None
        if what not in STAGED:
            session.stage = session.pasted_name = None
        return lookup(ACTIONS, what, "button")(session, asked)

    def opened(self, session: Session, name: str) -> Mapping[str, Any] | None:
        """Take the photograph that was sent, show the encoder's picture, and begin to refine it."""
        data = session.inbox.pop("photo", None)
        if data is None:
            return {"message": "The photograph did not arrive; send it again.", "wrong": True}
        session.open(data, name)
        session.refine(session.quality)
        return None

    def refine(self, token: Any, method: str | None) -> tuple[View, gr.Timer]:
        """Begin to refine the face by another method than those of the cards."""
        view = self.guarded(token, lambda session: session.refine(method) if method and session.found else None)
        return view, self.timer(self.sessions.of(token))

    def preview(self, direction: str, token: Any, amount: float) -> View:
        """Draw a small picture while a slider moves."""
        session = self.sessions.of(token)
        if not session.found:
            return {"preview": True}
        try:
            changes = session.moved(direction, amount)
            shown = session.pictures.show(session.preview(changes))
            return {"preview": True, "after": shown, "title": changes.title}
        except GanvertError as error:
            return {"preview": True, "message": str(error), "wrong": True}

    def release(self, direction: str, token: Any, amount: float) -> View:
        """Draw the full picture of where a slider was let go, as a new state of the history."""

        def work(session: Session) -> None:
            if session.found:
                changes = session.moved(direction, amount)
                session.picture(changes)  # what cannot be drawn is no state of the history
                session.history.add(changes)
                session.stage = session.pasted_name = None

        return self.guarded(token, work)

    def tick(self, token: Any) -> tuple[Any, ...]:
        """Look at what runs. Where it still does, the picture on the page stays as it is."""
        session, stay = self.sessions.of(token), [gr.skip()] * len(self.sliders)
        if session.busy:
            return self.partial(session), gr.skip(), *stay
        moved = session.task is not None and not session.task.seen
        if session.task is not None:
            session.task.seen = True
        view = self.guarded(token, lambda session: None)
        # A slider that is being moved stays in its user's hand, unless a task has moved it.
        return view, self.timer(session), *(self.values(session) if moved else stay)

    def paste(self, token: Any, region: str) -> View:
        """Put the edited face back into the photograph."""

        def work(session: Session) -> Mapping[str, Any] | None:
            pasted = session.pasted(region)
            session.pasted_name = session.pictures.show(pasted.image, 1600)
            return {"message": pasted.reason} if pasted.reason else None

        return self.guarded(token, work)

    def save(self, whole: bool, token: Any, region: str) -> View:
        """Download the crop, or the whole photograph with the edit in it, as PNG with its provenance."""

        def work(session: Session) -> Mapping[str, Any]:
            picture = session.pasted(region).image if whole else session.picture()
            name = session.file_name(session.history.now.title, ".png")
            return {"download": {"picture": session.pictures.add("image/png", session.png(picture)), "name": name}}

        return self.guarded(token, work)

    def check(self, token: Any) -> View:
        """Look whether the person is lost, and whether pasting back will show ghosts."""
        session = self.sessions.of(token)
        try:
            measured = session.check() if session.found and session.history.now.amounts else None
            return {
                "partial": True,
                "badge": measured.badge if measured else "",
                "places": measured.places if measured else {},
            }
        except GanvertError as error:
            return {"partial": True, "message": str(error), "wrong": True}

    def measure(self, token: Any) -> View:
        """Measure the picture and its unedited one."""

        def work(session: Session) -> None:
            session.measure()

        return self.guarded(token, work)

    def block(self, token: Any, region: str) -> tuple[View, gr.Code]:
        """Return the edit as a block for params.yaml, in a place that is there only for a block."""
        text = ""

        def work(session: Session) -> None:
            nonlocal text
            text = session.params(region)

        return self.guarded(token, work), gr.Code(text, visible=bool(text))
