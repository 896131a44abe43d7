"""What sessions hold in memory, counted by what is reachable from them, and its bound."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganvert.inversion.contract import Context
from ganvert.studio import models as models_module
from ganvert.studio import people
from ganvert.studio import session as module
from ganvert.studio.session import Session, Sessions
from ganvert.studio.view import view_of

SIDE = 900  # px of a photograph: 3.2 MB decoded


def photograph(step: int) -> bytes:
    waves = 127 + 90 * np.sin(np.indices((SIDE, SIDE)).sum(0) / (9 + step))[..., None] * [1, 0.5, -0.7]
    buffer = io.BytesIO()
    Image.fromarray(waves.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def referents(thing: Any) -> Iterable[Any]:
    """Return what a thing refers to; of a function what it encloses, not its module."""
    if type(thing) is FunctionType:
        return [*(thing.__closure__ or ()), *(thing.__defaults__ or ())]
    return [each for each in gc.get_referents(thing) if not issubclass(type(each), type | ModuleType)]


def reachable(thing: Any, stop: set[int]) -> list[Any]:
    """Return everything that can be reached from a thing, but for what `stop` has."""
    found, seen = [thing], {id(thing)} | stop
    for each in found:  # which grows
        new = {id(other): other for other in referents(each) if id(other) not in seen}
        seen |= new.keys()
        found += new.values()
    return found


def held_by(thing: Any, *others: Any) -> int:
    """Return the bytes of pictures, tensors, arrays and files that a thing refers to and others do not."""
    gc.collect()
    stop = {id(each) for other in others for each in reachable(other, set())}
    found = [(type(each), each) for each in reachable(thing, stop)]
    tensors = [each.untyped_storage() for kind, each in found if issubclass(kind, torch.Tensor)]
    return (
        sum({storage.data_ptr(): storage.nbytes() for storage in tensors}.values())
        + sum(4 * each.width * each.height for kind, each in found if issubclass(kind, Image.Image))
        + sum(each.nbytes for kind, each in found if kind is np.ndarray)
        + sum(len(each) for kind, each in found if kind in (bytes, bytearray))
    )


def work(session: Session, step: int) -> None:
    """Do what a user does: a photograph, a better inversion, edits, a second person, and a photograph on its way."""
    session.open(photograph(step), "waves.png")
    session.refine("balanced")
    assert session.refinement is not None and session.refinement.wait(60)
    people.meet(session, "second", photograph(step + 20), "other.png")
    assert session.task is not None and session.task.wait(60) and session.task.state == "done"
    people.combine(session, {"edit": "interpolate"})
    assert session.task.wait(60) and session.task.state == "done", session.task.reason
    for amount in (0.5, 1.0, 1.5, 2.0):
        session.pictures.show(session.preview(session.history.now))
        session.history.add(session.moved("smile", amount))
        view_of(session)
    session.measure()
    session.inbox["photo"] = photograph(step)


def test_what_a_session_says_to_hold_is_what_it_holds(sessions: Sessions) -> None:
    session = sessions.of(None)
    work(session, 0)
    assert session.held == pytest.approx(held_by(session, sessions.models), rel=0.02)
    assert session.held < 0.5 * 2 * 4 * SIDE * SIDE + 4 * 2**20  # of two photographs not even the decoded pixels


def test_another_second_person_takes_the_place_of_the_first(sessions: Sessions) -> None:
    session = sessions.of(None)
    work(session, 0)
    before = held_by(session, sessions.models)
    for step in range(4):
        people.meet(session, "second", photograph(step), "another.png")
        assert session.task is not None and session.task.wait(60)
        view_of(session)
    assert held_by(session, sessions.models) < before + 2**20


def test_sessions_that_were_left_are_bounded_by_what_they_hold(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sessions.of(None)
    work(first, 0)
    one = held_by(first, sessions.models)
    monkeypatch.setattr(module, "_MOST_HELD", 3 * one)
    for step in range(1, 6):
        work(sessions.of(None), step)
    last = sessions.of(None)  # a sign of somebody
    assert held_by(sessions, sessions.models) <= 3 * one
    assert last.token in sessions._all and first.token not in sessions._all
    # One that is larger than all may be stays while it is the one in use.
    monkeypatch.setattr(module, "_MOST_HELD", 1)
    assert sessions.of(last.token) is last and list(sessions._all) == [last.token]


def test_what_sessions_left_is_forgotten_when_their_time_is_over(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(2):
        work(sessions.of(None), step)
    monkeypatch.setattr(module, "_KEPT", -1.0)
    sessions.forget()
    assert len(sessions._all) == 0 and held_by(sessions, sessions.models) < 2**16


def test_loaded_methods_are_bounded(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    models = sessions.models
    monkeypatch.setattr(models_module, "_CONTEXTS", 2)
    first = models.context_of("first")
    for name in ("balanced", "long", "balanced", "long"):
        assert models.context_of(name) is models.context_of(name)
    assert set(models._contexts) == {"first", "long"} and models.context_of("first") is first


def test_methods_share_the_encoder_of_the_same_files(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    models = sessions.models
    files = {"first": [Path("a")], "balanced": [Path("b")], "long": [Path("a")]}
    models._contexts.clear()
    monkeypatch.setattr(models, "encoders_of", lambda preset: files[preset.name])
    load: Callable[..., Any] = lambda *_: Context(generator=models.generator, encoder=object())  # type: ignore[arg-type]  # noqa: E731
    monkeypatch.setattr(models_module, "make_context", load)
    first, balanced, long = (models.context_of(name)[1].encoder for name in files)
    assert first is long and balanced is not first


def test_faces_of_a_crowd_are_bounded(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd: Callable[..., Any] = lambda image: type("Found", (), {"faces": [None] * 99})()  # noqa: E731
    monkeypatch.setattr(sessions.models, "detector", type("Detector", (), {"detect_turned": staticmethod(crowd)})())
    assert len(sessions.models.open(photograph(0), "crowd.png").faces) == models_module._FACES
