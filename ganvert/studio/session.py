"""One user's work: photographs, codes, the changes, and what runs in the background.

All of it is in memory, but for folders of photographs and what is made of them: they are in a temporary folder, which
is deleted with the session. A session that nobody looks at ends.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ganvert import __version__
from ganvert.base.errors import InputError, ParamsError
from ganvert.base.files import file_names
from ganvert.codes import Code
from ganvert.editing.fit import SAME_PERSON
from ganvert.editing.paste import Pasted
from ganvert.images import to_png
from ganvert.studio.changes import Changes, History, params_block
from ganvert.studio.desk import Compared, Folder, People, Stage, StimulusSet
from ganvert.studio.jobs import Refinement, Task, wait_for_all
from ganvert.studio.models import Face, Found, Models, Opened
from ganvert.studio.pictures import MOST_PICTURES, Pictures, memory_of

__all__ = ["Measured", "Session", "Sessions"]

_KEPT = 2 * 3600.0  # seconds for which the work of a session is kept without a sign of its browser
_MOST_SESSIONS = 8
_MOST_HELD = 1 << 30  # bytes of all sessions together
_MOST_DRAWN = 12  # full pictures of a session that are not drawn again
_MOST_MEASURED = 200  # pictures of a session whose figures are known
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")  # of 128 bits
_LEAVE = 5.0  # seconds for which the end of a step is waited for


@dataclasses.dataclass(frozen=True)
class Measured:
    """What an edit did, side effects included.

    Attributes:
        identity: distance of both faces' descriptors; None where no face was found.
        warning: why pasting back will show ghosts; empty where it will not.
        places: direction to how many standard deviations the code lies from the mean of the generator's faces.
        before: attribute to its value on the unedited picture, None where no face was found; empty before it is asked.
        after: the same on the edited one.
    """

    identity: float | None
    warning: str
    places: Mapping[str, float] = dataclasses.field(default_factory=dict)
    before: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    after: Mapping[str, float | None] = dataclasses.field(default_factory=dict)

    @property
    def badge(self) -> str:
        """What the user should know of the picture: that the person is lost, or that pasting back will show ghosts."""
        if self.identity is not None and self.identity > SAME_PERSON:
            return (
                f"The person is lost: identity distance {self.identity:.2f}, and up to {SAME_PERSON:g} it is the same. "
                "Take smaller amounts."
            )
        return self.warning and "Pasting back: " + self.warning


class Session:
    """One user's work.

    Attributes:
        token: 128 random bits, which the browser keeps: whoever has it sees the session. A new one if not given.
        models: the networks.
        pictures: what its page shows.
        history: of the changes.
        method: whose code is edited; empty before there is one.
        quality: the method that photographs are refined by.
    """

    def __init__(self, models: Models, token: str | None = None) -> None:
        self.models, self.token = models, token or secrets.token_urlsafe(16)
        self.pictures, self.history = Pictures(), History()
        self.seen = time.monotonic()
        self.inbox: dict[str, bytes] = {}  # photographs on their way in, by what they are for
        self.opened: Opened | None = None
        self.chosen = 0
        self.found: dict[str, Found] = {}
        self.method = ""
        self.quality = "balanced" if "balanced" in models.ladder else models.ladder[0]
        self.refinement: Refinement | None = None
        self.task: Task | None = None
        self.people, self.folder = People(), Folder()
        self.stage: Stage | None = None
        self.compared: Compared | None = None
        self.stimuli: StimulusSet | None = None
        self._lock = threading.RLock()
        self._drawn: dict[tuple[Found, Changes], Image.Image] = {}
        self._partial: set[str] = set()  # methods that were cancelled on their way
        self._names: dict[tuple[str | Found, Any], str] = {}  # of pictures that are shown
        self._measured: dict[tuple[Found, Changes], Measured] = {}
        self.pasted_name: str | None = None

    @property
    def face(self) -> Face:
        """The face in work; InputError before there is a photograph."""
        if self.opened is None:
            raise InputError("there is no photograph yet: choose one first")
        return self.opened.faces[self.chosen]

    @property
    def code(self) -> Code:
        """The code that is edited; InputError before there is one."""
        return self.work()[1].code

    @property
    def stem(self) -> str:
        """What files are called after: the photograph."""
        return Path(self.opened.name if self.opened else "picture").stem

    def file_name(self, title: str, suffix: str) -> str:
        """Return what a file of the photograph is called, after what was done to it."""
        return file_names([f"{self.stem}_{title.replace(', ', '_').replace(' ', '')}"])[0] + suffix

    @property
    def busy(self) -> bool:
        """Whether something runs in the background."""
        return any(job is not None and job.active for job in (self.refinement, self.task))

    @property
    def held(self) -> int:
        """Memory that the session takes [bytes]: photographs, codes and pictures; small things are not counted."""
        parts = [self.pictures.held] + [len(data) for data in [*self.inbox.values()]]
        parts += [found.held for found in [*self.found.values()]]
        parts += [person.held for person in [*self.people.known.values()]]
        parts += [self.opened.held] if self.opened is not None else []
        return sum(parts) + memory_of(*self._drawn.values(), *(self.people.result or ())[:1])

    def open(self, data: bytes, name: str) -> None:
        """Take another photograph: find its faces, and draw the largest one by the encoder's pass.

        Raises:
            PhotoError: it cannot be used. The session keeps what it had.
        """
        self._take(self.models.open(data, name), 0)

    def choose(self, face: int) -> None:
        """Work with another face of the photograph."""
        if self.opened is None or not 0 <= face < len(self.opened.faces):
            raise InputError(f"face {face + 1}: there is no such face on the photograph")
        self._take(self.opened, face)

    def _take(self, opened: Opened, face: int) -> None:
        """Draw a face by the encoder's pass and work with it; until it is there, other threads see the last one."""
        self.end()
        found = self.models.invert(opened.faces[face], self.models.first)
        with self._lock:
            self.opened, self.chosen, self.history = opened, face, History()
            self.found, self.method = {self.models.first: found}, self.models.first
            self.stage = self.compared = self.pasted_name = self.people.result = None
            self._forget()

    def refine(self, method: str) -> None:
        """Begin to invert the face by a better method, in the background; one that runs ends."""
        self.models.context_of(method)  # a wrong name, or a method that this generator cannot do, is an error at once
        self.face  # noqa: B018 (raises without a photograph)
        self.end()
        if method in self.found and method not in self._partial:
            self.show_method(method)
            return
        self.refinement = Refinement(self, method)
        self.refinement.start()

    def refined(self, refinement: Refinement, found: Found, partial: bool) -> None:
        """Take what a refinement found, if the face is still the one it is of; `partial` if it was cancelled."""
        with self._lock:
            if self.opened is not None and self.face is refinement.face:
                method = refinement.method
                # One by this name may have been cancelled halfway before.
                self._forget(self.found.get(method, found))
                self.found[method], self.method = found, method
                self._partial = self._partial - {method} | ({method} if partial else set())

    def check_free(self) -> None:
        """Raise InputError while other work of the user runs in the background."""
        if self.task is not None and self.task.active:
            raise InputError(f"{self.task.title} still runs: wait for it, or stop it")

    def begin(self, title: str, function: Callable[[Task], None]) -> None:
        """Do something in the background; InputError where something else of this kind still runs."""
        self.check_free()
        self.task = Task(self, title, function)
        self.task.start()

    def show_method(self, method: str) -> None:
        """Edit the code of another method that has been found."""
        if method not in self.found:
            raise InputError(f"{method}: the photograph has no code of it yet")
        self.method = method

    def end(self) -> None:
        """End the inversion that runs, and wait for its end."""
        if self.refinement is not None and self.refinement.active:
            self.refinement.cancel()
            self.refinement.wait()

    def leave(self) -> None:
        """End all work, and delete the files; nobody looks any more."""
        for job in (self.refinement, self.task):
            if job is not None:
                job.cancel()
        if self.task is not None:
            self.task.wait(_LEAVE)  # it writes into the folder
        self.folder.delete()

    def _forget(self, found: Found | None = None) -> None:
        """Forget what was drawn and measured of a code, or all."""
        with self._lock:
            tables: list[dict[Any, Any]] = [self._drawn, self._measured, self._names]
            for kept in tables:
                for key in [key for key in kept if found in (None, key[0])]:
                    del kept[key]

    def picture(self, changes: Changes | None = None, method: str | None = None) -> Image.Image:
        """Return the full picture of changes, by default those that are shown, by a method, by default the present."""
        with self._lock:
            face, found = self.work(method)
            changes = changes or self.history.now
        return self._draw(face, found, changes)

    def work(self, method: str | None = None) -> tuple[Face, Found]:
        """Return the face in work and what a method found of it, by default the present one, as of one moment.

        Raises:
            InputError: there is no photograph yet.
        """
        with self._lock:
            if not self.found:
                raise InputError("there is no photograph yet: choose one first")
            return self.face, self.found[method or self.method]

    def _draw(self, face: Face, found: Found, changes: Changes) -> Image.Image:
        """Return the full picture of changes of a code."""
        key = found, changes.heard
        picture = self._drawn.get(key)
        if picture is None:
            picture = self.models.draw(found.code, changes.heard, self.models.mask(face, changes.heard.region))
            self._keep(self._drawn, key, picture, _MOST_DRAWN)
        return picture

    def _keep(self, kept: dict[Any, Any], key: tuple[Any, Any], value: Any, most: int) -> None:
        """Keep what was made, `most` at most; not of a code in whose place another one has come meanwhile."""
        of, _ = key
        with self._lock:
            if isinstance(of, str) or any(of is found for found in self.found.values()):
                kept[key] = value
                _keep_newest(kept, most)

    def mask(self, changes: Changes) -> Tensor | None:
        """Return where changes may act on the face; None for everywhere."""
        return self.models.mask(self.face, changes.region)

    def plain(self) -> Image.Image:
        """Return the unedited picture of the present code."""
        return self.picture(Changes())

    def shown(self, of: str | Found, key: Any, make: Callable[[], Image.Image], px: int | None = None) -> str:
        """Return the name of a picture on the page; it is made where it is not kept any more.

        Args:
            of: what it shows: a word, or a code.
            key: which one.
            make: returns it.
            px: its longest side at most.
        """
        name = self._names.get((of, key))
        if name is None or not self.pictures.has(name):
            name = self.pictures.show(make(), px)
            self._keep(self._names, (of, key), name, MOST_PICTURES)
        return name

    def shown_changes(self, changes: Changes) -> str:
        """Return the name of the full picture of changes on the page."""
        face, found = self.work()
        return self.shown(found, changes, lambda: self._draw(face, found, changes))

    def thumb(self, changes: Changes, px: int) -> str | None:
        """Return the name of a small picture of changes; None where they were not drawn by the present method."""
        _, found = self.work()
        drawn, key = self._drawn.get((found, changes.heard)), (changes, px)
        if drawn is None:  # drawing all of a history again for another method would take minutes
            return self.pictures.kept(self._names.get((found, key)))
        return self.shown(found, key, lambda: drawn, px)

    def check(self) -> Measured:
        """Return what the edit did to the person, and whether it can be pasted back; once for each picture."""
        with self._lock:
            (face, found), changes = self.work(), self.history.now
        return self._check(face, found, changes)

    def _check(self, face: Face, found: Found, changes: Changes) -> Measured:
        """Return :meth:`check` of changes of a code."""
        key = found, changes.heard
        measured = self._measured.get(key)
        if measured is None:
            plain, edited = (self._draw(face, found, one) for one in (Changes(), changes))
            distance = self.models.identity(edited, plain)
            places = self.models.places(found.code, changes)
            measured = Measured(distance, self.models.fit(face, plain).warning, places)
            self._keep(self._measured, key, measured, _MOST_MEASURED)
        return measured

    def measure(self) -> Measured:
        """Return what the edit did to all scores, and to the person; once for each picture."""
        with self._lock:
            (face, found), changes = self.work(), self.history.now
        measured = self._check(face, found, changes)
        if not measured.before:
            pictures = [self._draw(face, found, one) for one in (Changes(), changes)]
            before, after = map(self.models.scores, pictures)
            measured = dataclasses.replace(measured, before=before, after=after)
            self._keep(self._measured, (found, changes.heard), measured, _MOST_MEASURED)
        return measured

    @property
    def measured(self) -> Measured | None:
        """What was measured of the picture that is shown; None where nothing was."""
        _, found = self.work()
        return self._measured.get((found, self.history.now.heard))

    def moved(self, direction: str, amount: float) -> Changes:
        """Return the changes with another amount of a direction; ParamsError where its slider does not go so far."""
        low, high = self.models.reach(direction)
        if not low <= amount <= high:
            raise ParamsError(f"{direction}: wanted an amount from {low:g} to {high:g}, got {amount:g}")
        return self.history.now.with_amount(direction, amount)

    def preview(self, changes: Changes) -> Image.Image:
        """Return a small picture of changes."""
        changes = changes.heard
        return self.models.draft(self.code, changes, self.mask(changes))

    def pasted(self, region: str) -> Pasted:
        """Return the photograph with the edited face in it."""
        face = self.face
        assert self.opened is not None
        return self.models.paste(self.opened, face, self.picture(), self.plain(), region)

    def png(self, picture: Image.Image) -> bytes:
        """Return a picture as PNG that says where it came from: generator, method, image, code, edits, version."""
        return to_png(picture, self.provenance())

    def provenance(
        self, code: Code | None = None, changes: Changes | None = None, edits: str | None = None
    ) -> dict[str, str]:
        """Return what a picture's metadata say of how it was made; by default the picture that is shown."""
        code, changes = code or self.code, changes or self.history.now
        return {
            "Software": f"ganvert {__version__}",
            "ganvert:generator": self.models.generator.fingerprint(),
            "ganvert:method": code.method,
            "ganvert:image": code.image_id,
            "ganvert:code": code.fingerprint(),
            "ganvert:edits": edits or changes.title,
        }

    def params(self, region: str) -> str:
        """Return the edit as a block for params.yaml."""
        return params_block(
            self.history.now, self.method, self.models.starts(self.method), region, self.models.own_generator
        )


def _keep_newest(kept: dict[Any, Any], most: int) -> None:
    """Forget the oldest of more than `most` things."""
    for key in list(kept)[:-most]:
        kept.pop(key, None)


class Sessions:
    """All sessions of a studio, by token. Those that were left longest ago make room for others.

    There are at most :data:`_MOST_SESSIONS` of them, of :data:`_MOST_HELD` bytes together, or one that takes more.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self._all: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, token: Any) -> Session:
        """Return the session of a token, which has thereby given a sign; a new one for a token that nobody has.

        A page that was left open for hours, or whose studio was restarted, goes on with the token that it has.
        """
        own = token if isinstance(token, str) and _TOKEN.fullmatch(token) else None
        with self._lock:
            session, late = self._all.get(own or ""), None
            if session is not None and self._late(session):
                session, late = None, session
            if session is None:
                session = Session(self.models, own)
                self._all[session.token] = session
            session.seen = time.monotonic()
            self._all.move_to_end(session.token)
        if late is not None:
            late.leave()
        self.forget()
        return session

    def forget(self) -> None:
        """Forget the sessions whose time is over, and of too many or too large ones those left longest ago."""
        with self._lock:
            kept, held = list[Session](), 0
            for session in reversed(self._all.values()):  # the newest sign first
                held += session.held
                if self._late(session) or (kept and (len(kept) >= _MOST_SESSIONS or held > _MOST_HELD)):
                    break
                kept.append(session)
            left = [session for session in self._all.values() if session not in kept]
            for session in left:
                del self._all[session.token]
        for session in left:
            session.leave()

    def _late(self, session: Session) -> bool:
        return time.monotonic() - session.seen > _KEPT

    def picture(self, name: str) -> tuple[str, bytes | Path] | None:
        """Return a picture of any session by its name."""
        with self._lock:
            sessions = list(self._all.values())
        return next((found for session in sessions if (found := session.pictures.get(name))), None)

    def end(self) -> bool:
        """End all work, and wait for it; return whether all has ended."""
        with self._lock:
            sessions = list(self._all.values())
            self._all.clear()
        for session in sessions:
            session.leave()
        return wait_for_all(_LEAVE)
