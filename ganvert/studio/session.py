"""One user's work: a photograph, its codes, the changes, and the inversion that runs in the background.

All of it is in memory. Nothing of a photograph is written to a disk, and a session that nobody looks at ends.
"""

from __future__ import annotations

import dataclasses
import io
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from ganvert import __version__
from ganvert.base.errors import GanvertError, InputError
from ganvert.codes import Code
from ganvert.editing.fit import SAME_PERSON
from ganvert.editing.paste import Pasted
from ganvert.images import to_png
from ganvert.inversion.contract import Inversion
from ganvert.studio.changes import Changes, History, params_block
from ganvert.studio.models import PREVIEW_PX, Face, Models, Opened

__all__ = ["Measured", "Pictures", "Refinement", "Session", "Sessions"]

#: Seconds without a sign of the browser after which an inversion ends; browsers slow hidden pages to one call a minute.
_AWAY = 150.0
_KEPT = 2 * 3600.0  # seconds for which the work of a session is kept without a sign of its browser
_MOST_SESSIONS = 8
_MOST_PICTURES = 300  # of a session
_FORMING = 4.0  # seconds between two pictures of an inversion that runs


class Pictures:
    """Pictures by names of 128 random bits: whoever was not given a name cannot ask for the picture."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, kind: str, data: bytes) -> str:
        """Keep a picture; return its name. The oldest one of too many is forgotten."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[name] = kind, data
            while len(self._kept) > _MOST_PICTURES:
                self._kept.popitem(last=False)
        return name

    def show(self, picture: Image.Image, px: int | None = None) -> str:
        """Keep a picture as JPEG, of `px` a side at most; return its name."""
        shown = picture.convert("RGB")
        if px is not None and max(shown.size) > px:
            shown.thumbnail((px, px), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        shown.save(buffer, "JPEG", quality=90)
        return self.add("image/jpeg", buffer.getvalue())

    def has(self, name: str) -> bool:
        """Return whether there is a picture of that name; it then counts as the newest one."""
        with self._lock:
            if name is not None and name in self._kept:
                self._kept.move_to_end(name)
                return True
            return False

    def get(self, name: str) -> tuple[str, bytes] | None:
        """Return the media type and the bytes of a picture, None where there is none of that name."""
        with self._lock:
            return self._kept.get(name)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What an edit did, side effects included.

    Attributes:
        identity: distance of both faces' descriptors; None where no face was found.
        warning: why pasting back will show ghosts; empty where it will not.
        before: attribute to its value on the unedited picture, None where no face was found; empty before it is asked.
        after: the same on the edited one.
    """

    identity: float | None
    warning: str
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


class Refinement:
    """An inversion in the background. It ends when it is done, cancelled, or the browser is gone.

    Attributes:
        method: the preset.
        done: part of its steps, 0 to 1.
        state: ``waiting``, ``running``, ``done``, ``cancelled`` or ``failed``.
        reason: why it failed; empty where it did not.
        forming: name of the picture so far, or None.
    """

    def __init__(self, session: Session, method: str) -> None:
        self.session, self.method = session, method
        self.face = session.face
        self.done, self.state, self.reason = 0.0, "waiting", ""
        self.forming: str | None = None
        self._cancel = threading.Event()
        self._begun = self._drawn = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"invert {method}", daemon=True)

    def start(self) -> None:
        """Begin, behind inversions of other sessions."""
        self._thread.start()

    def cancel(self) -> None:
        """End it after the step that it takes; the code so far becomes the session's code."""
        self._cancel.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end; return whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "running")

    @property
    def left(self) -> float | None:
        """Seconds that are left by the speed so far; None while there is no telling."""
        if self.state != "running" or self.done < 0.05:
            return None
        return (time.monotonic() - self._begun) * (1 - self.done) / self.done

    def _run(self) -> None:
        models = self.session.models
        while not models.inverting.acquire(timeout=0.2):
            if self._over():
                self.state = "cancelled"
                return
        try:
            self.state, self._begun = "running", time.monotonic()
            code = models.invert(self.face, self.method, self._watch, self._on_images)
            self.state = "cancelled" if self._over() else "done"
            self.session.refined(self, code)
        except GanvertError as error:
            self.state, self.reason = "failed", str(error)
        except Exception as error:  # a thread has nobody above it who would say so
            self.state, self.reason = "failed", f"{self.method}: {type(error).__name__}: {error}"
            raise
        finally:
            models.inverting.release()

    def _on_images(self, images: float) -> None:
        self.done = images

    def _over(self) -> bool:
        return self._cancel.is_set() or self.session.away

    def _watch(self, so_far: Callable[[], Inversion]) -> bool:
        """Show the picture so far every few seconds; return whether the inversion is to end."""
        if time.monotonic() - self._drawn > _FORMING:
            code = self.session.models.code_of(so_far(), self.face, self.method)
            picture = self.session.models.draw(code, Changes())
            self.forming, self._drawn = self.session.pictures.show(picture, PREVIEW_PX), time.monotonic()
        return self._over()


class Session:
    """One user's work.

    Attributes:
        token: 128 random bits, which the browser keeps: whoever has it sees the session.
        models: the networks.
        pictures: what its page shows.
        history: of the changes.
    """

    def __init__(self, models: Models) -> None:
        self.models, self.token = models, secrets.token_urlsafe(16)
        self.pictures, self.history = Pictures(), History()
        self.seen = time.monotonic()
        self.inbox: bytes | None = None  # a photograph on its way in
        self.opened: Opened | None = None
        self.chosen = 0
        self.codes: dict[str, Code] = {}
        self.method = ""
        self.refinement: Refinement | None = None
        self._lock = threading.RLock()
        self._drawn: dict[tuple[str, Changes], Image.Image] = {}
        self._partial: set[str] = set()  # methods that were cancelled on their way
        self._names: dict[tuple[Any, ...], str] = {}  # of pictures that are shown
        self._measured: dict[tuple[str, Changes], Measured] = {}
        self.pasted_name: str | None = None

    @property
    def away(self) -> bool:
        """Whether the browser has given no sign for so long that it must be gone."""
        return time.monotonic() - self.seen > _AWAY

    @property
    def face(self) -> Face:
        """The face in work; InputError before there is a photograph."""
        if self.opened is None:
            raise InputError("there is no photograph yet: choose one first")
        return self.opened.faces[self.chosen]

    @property
    def code(self) -> Code:
        """The code that is edited; InputError before there is one."""
        if not self.codes:
            raise InputError("there is no photograph yet: choose one first")
        return self.codes[self.method]

    def open(self, data: bytes, name: str) -> None:
        """Take another photograph: find its faces, and draw the largest one by the encoder's pass.

        Raises:
            PhotoError: it cannot be used. The session keeps what it had.
        """
        opened = self.models.open(data, name)
        self.end()
        with self._lock:
            self.opened = opened
        self.choose(0)

    def choose(self, face: int) -> None:
        """Work with another face of the photograph."""
        if self.opened is None or not 0 <= face < len(self.opened.faces):
            raise InputError(f"face {face + 1}: there is no such face on the photograph")
        self.end()
        code = self.models.invert(self.opened.faces[face], self.models.first)
        with self._lock:
            self.chosen, self.history = face, History()
            self.codes, self.method = {self.models.first: code}, self.models.first
            self._forget()

    def refine(self, method: str) -> None:
        """Begin to invert the face by a better method, in the background; one that runs ends."""
        self.models.context_of(method)  # a wrong name, or a method that this generator cannot do, is an error at once
        self.face  # noqa: B018 (raises without a photograph)
        self.end()
        if method in self.codes and method not in self._partial:
            self.show_method(method)
            return
        self.refinement = Refinement(self, method)
        self.refinement.start()

    def refined(self, refinement: Refinement, code: Code) -> None:
        """Take the code of a refinement, if the face is still the one it is of."""
        with self._lock:
            if self.opened is not None and self.face is refinement.face:
                method = self.method = refinement.method
                self.codes[method] = code
                # One by this name may have been cancelled halfway before, and this one may have been too.
                self._forget(method)
                self._partial = self._partial - {method} | ({method} if refinement.state == "cancelled" else set())

    def show_method(self, method: str) -> None:
        """Edit the code of another method that has been found."""
        if method not in self.codes:
            raise InputError(f"{method}: the photograph has no code of it yet")
        self.method = method

    def end(self) -> None:
        """End the inversion that runs, and wait for its end."""
        if self.refinement is not None and self.refinement.active:
            self.refinement.cancel()
            self.refinement.wait()

    def _forget(self, method: str | None = None) -> None:
        """Forget what was drawn and measured of a method's code, or of all."""
        for kept in (self._drawn, self._measured, self._names):
            for key in [key for key in list(kept) if method in (None, key[0])]:
                kept.pop(key)  # type: ignore[call-overload]

    def picture(self, changes: Changes | None = None, method: str | None = None) -> Image.Image:
        """Return the full picture of changes, by default those that are shown, by a method, by default the present."""
        changes, method = changes or self.history.now, method or self.method
        key = method, _heard(changes)
        if key not in self._drawn:
            if not self.codes:
                raise InputError("there is no photograph yet: choose one first")
            picture = self.models.draw(self.codes[method], changes)
            with self._lock:
                self._drawn[key] = picture
                while len(self._drawn) > 12:
                    self._drawn.pop(next(iter(self._drawn)))
        return self._drawn[key]

    def plain(self) -> Image.Image:
        """Return the unedited picture of the present code."""
        return self.picture(Changes())

    def shown(self, kind: str, key: Any, make: Callable[[], Image.Image], px: int | None = None) -> str:
        """Return the name of a picture on the page; it is made where it is not kept any more."""
        name = self._names.get((kind, key))
        if name is None or not self.pictures.has(name):
            name = self._names[kind, key] = self.pictures.show(make(), px)
        return name

    def shown_changes(self, changes: Changes) -> str:
        """Return the name of the full picture of changes on the page."""
        return self.shown(self.method, (self.face, changes), lambda: self.picture(changes))

    def thumb(self, changes: Changes, px: int) -> str | None:
        """Return the name of a small picture of changes; None where they were not drawn by the present method."""
        key = self.face, changes, px
        drawn = self._drawn.get((self.method, _heard(changes)))
        if drawn is None:  # drawing all of a history again for another method would take minutes
            return self._names.get((self.method, key))
        return self.shown(self.method, key, lambda: drawn, px)

    def check(self) -> Measured:
        """Return what the edit did to the person, and whether it can be pasted back; once for each picture."""
        key = self.method, _heard(self.history.now)
        if key not in self._measured:
            plain, edited = self.plain(), self.picture()
            distance = self.models.identity(edited, plain)
            self._measured[key] = Measured(distance, self.models.fit(self.face, plain).warning)
        return self._measured[key]

    def measure(self) -> Measured:
        """Return what the edit did to all scores, and to the person; once for each picture."""
        key, measured = (self.method, _heard(self.history.now)), self.check()
        if not measured.before:
            before, after = self.models.scores(self.plain()), self.models.scores(self.picture())
            measured = self._measured[key] = dataclasses.replace(measured, before=before, after=after)
        return measured

    @property
    def measured(self) -> Measured | None:
        """What was measured of the picture that is shown; None where nothing was."""
        return self._measured.get((self.method, _heard(self.history.now)))

    def preview(self, direction: str, amount: float) -> Image.Image:
        """Return a small picture with another amount of a direction."""
        return self.models.draft(self.code, self.history.now.with_amount(direction, amount))

    def pasted(self, region: str) -> Pasted:
        """Return the photograph with the edited face in it."""
        face = self.face
        assert self.opened is not None
        return self.models.paste(self.opened, face, self.picture(), self.plain(), region)

    def png(self, picture: Image.Image) -> bytes:
        """Return a picture as PNG that says where it came from: generator, method, image, edits, version."""
        provenance = {
            "Software": f"ganvert {__version__}",
            "ganvert:generator": self.models.generator.fingerprint(),
            "ganvert:method": self.method,
            "ganvert:image": self.code.image_id,
            "ganvert:edits": self.history.now.title,
        }
        return to_png(picture, provenance)

    def params(self, region: str) -> str:
        """Return the edit as a block for params.yaml."""
        return params_block(self.history.now, self.method, self.models.starts(self.method), region)


def _heard(changes: Changes) -> Changes:
    """Return the changes without those that are muted, which draw nothing."""
    return Changes(tuple(item for item in changes.items if not item.muted))


class Sessions:
    """All sessions of a studio, by token. The one that was left longest ago makes room for a new one."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self._all: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, token: Any) -> Session:
        """Return the session of a token, which has thereby given a sign; a new one for a token that nobody has."""
        with self._lock:
            now = time.monotonic()
            for name in [name for name, session in self._all.items() if now - session.seen > _KEPT]:
                self._drop(name)
            session = self._all.get(token) if isinstance(token, str) else None
            if session is None:
                while len(self._all) >= _MOST_SESSIONS:
                    self._drop(next(iter(self._all)))
                session = Session(self.models)
                self._all[session.token] = session
            session.seen = now
            self._all.move_to_end(session.token)
            return session

    def picture(self, name: str) -> tuple[str, bytes] | None:
        """Return a picture of any session by its name."""
        with self._lock:
            sessions = list(self._all.values())
        return next((found for session in sessions if (found := session.pictures.get(name))), None)

    def end(self) -> None:
        """End all inversions."""
        with self._lock:
            for name in list(self._all):
                self._drop(name)

    def _drop(self, token: str) -> None:
        session = self._all.pop(token)
        if session.refinement is not None:
            session.refinement.cancel()
