"""One user's work: pictures, the inversion in the background, and what other users see of it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from ganvert.base import params
from ganvert.base.errors import InputError, ParamsError, PhotoError, UnknownNameError
from ganvert.compute.precision import AUTO
from ganvert.directions import choose_rows
from ganvert.editing.population import Population
from ganvert.editing.spec import EditSpec
from ganvert.generators import load_generator
from ganvert.images import from_png
from ganvert.studio import jobs
from ganvert.studio import pictures as kept
from ganvert.studio import session as module
from ganvert.studio.changes import Changes
from ganvert.studio.jobs import Refinement
from ganvert.studio.models import Models
from ganvert.studio.pictures import Pictures
from ganvert.studio.session import Session, Sessions
from ganvert.studio.view import view_of
from stages.edit import PlannedEdit, edited

Photograph = Callable[..., bytes]
MOVES = Changes().with_amount("smile", 2).with_amount("age", -1.5)


def within(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def same(first: Image.Image, second: Image.Image) -> bool:
    return bool((np.asarray(first) == np.asarray(second)).all())


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        (MOVES, "smile+2_age-1.5"),
        (MOVES.on_rows("smile", (0, 3)), "smile@0:3+2_age-1.5"),
        (MOVES.freed("smile", "grin").without("age"), "grin"),
    ],
)
def test_the_block_renders_the_same_picture_through_the_stage(session: Session, changes: Changes, title: str) -> None:
    session.history.add(changes)
    block = yaml.safe_load(session.params("square"))
    source = str(session.models.generator.source)
    assert block["generator"]["path"] == source == block["invert"]["methods"]["first"]
    spec = params.build(EditSpec, block["edit"]["edits"]["studio"], "edit.edits.studio")
    planned = PlannedEdit(
        name="studio",
        spec=spec,
        edit=spec.make(),
        directions=[(choose_rows(session.models.table, name, "w", 8), share) for name, share in spec.shares.items()],
        references=[],
        reference_pictures=[],
        preset=None,
        context=None,
        population=Population(session.code.space.generator),
    )
    settings: Any = SimpleNamespace(edit=SimpleNamespace(method="first", paste=None))
    face = {"quad": session.face.aligned.quad.reshape(-1)}
    (row,) = edited(session.code, [planned], face, None, session.plain(), settings)
    assert row["direction"] == title
    assert same(from_png(row["crop"]), session.picture())
    assert not same(session.picture(), session.plain())
    assert changes is MOVES or not same(session.picture(), session.picture(MOVES))


def test_an_amount_goes_as_far_as_its_slider(session: Session) -> None:
    assert session.models.reach("smile") == (-2.6, 2.6) and session.models.reach("age") == (-4, 4)
    assert session.moved("smile", 2.6).amounts == {"smile": 2.6}
    for amount in (2.7, -2.7, float("nan")):
        with pytest.raises(ParamsError, match=r"smile: wanted an amount from -2\.6 to 2\.6"):
            session.moved("smile", amount)


def test_a_preview_is_near_the_picture_and_changes_nothing(session: Session) -> None:
    target = np.asarray(session.models.draw(session.code, Changes().with_amount("smile", 2)), dtype=float)
    near, far = (np.asarray(session.preview(Changes().with_amount("smile", amount)), dtype=float) for amount in (2, -2))
    assert near.shape == target.shape
    assert np.abs(near - target).mean() < np.abs(far - target).mean()
    assert session.history.now == Changes()


def test_what_was_drawn_is_not_drawn_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.history.add(Changes().with_amount("smile", 2))
    view_of(session)
    monkeypatch.setattr(session.models, "draw", None)
    again = view_of(session)
    assert again["title"] == "smile +2" and again["before"] != again["after"]
    session.history.undo()
    assert view_of(session)["after"] == again["before"]


def test_a_refinement_takes_over_and_keeps_the_edits(session: Session) -> None:
    session.history.add(Changes().with_amount("smile", 2))
    rough = session.picture()
    session.refine("balanced")
    assert session.refinement is not None and session.refinement.wait(60)
    assert session.refinement.state == "done" and session.method == "balanced"
    assert not same(session.picture(), rough) and session.history.now.amounts == {"smile": 2}
    session.show_method("first")
    assert same(session.picture(), rough)


def test_a_cancelled_inversion_keeps_the_best_so_far(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "FORMING", 0.05)
    rough = session.plain()
    session.refine("long")
    job = session.refinement
    assert job is not None and within(lambda: job.forming)
    begun = job.done
    assert within(lambda: job.done > begun + 3e-6)  # of a million steps; the first may not be better than the start
    session.end()
    assert job.state == "cancelled" and session.method == "long" and 0 < job.done < 1
    target = np.asarray(session.face.aligned.crop, dtype=float)
    errors = [((np.asarray(picture) - target) ** 2).mean() for picture in (session.plain(), rough)]
    assert errors[0] < errors[1]
    # It was not finished: asked for again, it runs again.
    session.refine("long")
    assert session.refinement is not job
    session.end()


def test_inversions_are_as_fast_as_the_machine_can_and_settle_that_once(session: Session) -> None:
    _, context = session.models.context_of("long")
    assert context.speed == AUTO
    assert context.watched(lambda so_far: True).engine is context.engine


def test_what_comes_before_the_first_step_is_in_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: clock[-1]))
    user: Any = SimpleNamespace(seen=0.0)
    task = jobs.Task(user, "work", lambda task: None)
    task.state = "running"
    estimates = []
    for now, done in ((60.0, 0.1), (62.0, 0.2), (64.0, 0.3)):
        clock.append(now)
        task.report(done)
        estimates.append(task.left)
    clock.append(66.0)  # between two steps
    assert [*estimates, task.left] == [None, pytest.approx(16), pytest.approx(14), pytest.approx(12)]


def test_an_inversion_ends_when_the_browser_is_gone(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.refine("long")
    job = session.refinement
    assert job is not None and within(lambda: job.state == "running")
    monkeypatch.setattr(jobs, "AWAY", -1.0)
    assert job.wait(60) and job.state == "cancelled"


def test_the_end_of_a_studio_waits_for_its_inversions(session: Session, sessions: Sessions) -> None:
    session.refine("long")
    job = session.refinement
    assert job is not None and within(lambda: job.state == "running")
    sessions.end()
    assert job.state == "cancelled" and job.wait(0)


def test_another_photograph_ends_the_inversion_of_the_last_one(photograph: Photograph, session: Session) -> None:
    session.refine("long")
    job = session.refinement
    session.open(photograph(5), "other.png")
    assert job is not None and job.state == "cancelled" and not job.active
    assert session.method == "first" and session.opened is not None and session.opened.name == "other.png"


def test_inversions_of_two_sessions_take_turns(photograph: Photograph, session: Session, sessions: Sessions) -> None:
    other = sessions.of(None)
    other.open(photograph(5), "other.png")
    session.refine("long")
    first, second = session.refinement, None
    assert first is not None and within(lambda: first.state == "running")
    other.refine("balanced")
    second = other.refinement
    assert second is not None and not second.wait(0.3) and second.state == "waiting"
    session.end()
    assert second.wait(60) and second.state == "done"


def test_a_bad_photograph_is_a_sentence_and_the_work_stays(photograph: Photograph, session: Session) -> None:
    session.history.add(Changes().with_amount("smile", 2))
    before = session.picture()
    for data in (b"no picture", b"", b"\x89HDF", photograph()[:200]):
        with pytest.raises(PhotoError, match=r"me\.jpg"):
            session.open(data, "me.jpg")
    assert session.picture() is before
    with pytest.raises(UnknownNameError):
        session.refine("balancd")
    with pytest.raises(InputError, match="face 3"):
        session.choose(2)


def test_what_is_no_photograph_is_said(session: Session, tiny_generator_file: Path) -> None:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(buffer, "PNG")  # a file of 30 KB
    video = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(2000)
    files = {"huge.png": buffer.getvalue(), "me.mp4": video, "model.png": tiny_generator_file.read_bytes()}
    for name, data in files.items():
        with pytest.raises(PhotoError, match=name.replace(".", r"\.")) as caught:
            session.open(data, name)
        assert name != "huge.png" or "more pixels" in str(caught.value)
    assert session.opened is not None and session.opened.name == "waves.png"


@pytest.mark.slow
def test_each_of_ten_faces_can_be_chosen(
    studio_project: Path, tiny_generator_file: Path, tiny_directions: Path, assets: Path
) -> None:
    with Image.open(assets.parent / "sample_photos" / "obama.jpg") as file:
        face = file.convert("RGB")
    face.thumbnail((260, 260))
    crowd = Image.new("RGB", (5 * face.width, 2 * face.height))
    for i in range(10):
        crowd.paste(face, (i % 5 * face.width, i // 5 * face.height))
    buffer = io.BytesIO()
    crowd.save(buffer, "PNG")
    models = Models(load_generator(tiny_generator_file), tiny_directions, assets, first="first")
    session = Session(models)
    session.open(buffer.getvalue(), "crowd.png")
    view = view_of(session)
    assert len(view["faces"]) == 10
    session.choose(9)
    assert session.face.image_id.endswith("-9") and view_of(session)["chosen"] == 9


def test_a_png_says_where_it_came_from(session: Session) -> None:
    session.history.add(Changes().with_amount("smile", 2))
    with Image.open(io.BytesIO(session.png(session.picture()))) as file:
        texts = file.text  # type: ignore[attr-defined]
        assert same(file.convert("RGB"), session.picture())
    assert texts["ganvert:edits"] == "smile +2" and texts["ganvert:method"] == "first"
    assert texts["ganvert:generator"] == session.models.generator.fingerprint()
    assert texts["Software"].startswith("ganvert ")


def test_pasting_changes_the_square_alone(session: Session) -> None:
    session.history.add(Changes().with_amount("smile", 2))
    assert session.opened is not None
    photo, pasted = np.asarray(session.opened.photo().image), np.asarray(session.pasted("square").image)
    assert pasted.shape == photo.shape and (pasted != photo).any()
    assert (pasted[:, :10] == photo[:, :10]).all()  # the middle square leaves 15 px on either side


def test_each_session_has_its_own_pictures(photograph: Photograph, sessions: Sessions) -> None:
    mine, other = sessions.of(None), sessions.of("guessed")
    assert mine.token != other.token != "guessed" and len(mine.token) >= 22
    assert sessions.of(mine.token) is mine
    mine.open(photograph(), "waves.png")
    view = view_of(mine)
    assert sessions.picture(view["before"]) is not None and sessions.picture(view["before"][:-1]) is None
    assert "before" not in view_of(other)


def test_sessions_that_nobody_looks_at_are_forgotten(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [sessions.of(None) for _ in range(20)]
    assert sessions.of(many[-1].token) is many[-1] and sessions.of(many[0].token) is not many[0]
    monkeypatch.setattr(module, "_KEPT", -1.0)
    assert sessions.of(many[-1].token) is not many[-1]


def test_a_page_that_was_left_open_goes_on_under_its_token(
    photograph: Photograph, session: Session, sessions: Sessions
) -> None:
    """It sends photographs and clicks by the token that it has had since it was opened."""
    place = session.folder.place
    session.seen -= module._KEPT + 1
    again = sessions.of(session.token)
    assert again is not session and again.token == session.token and not again.found
    assert not place.exists()
    sessions.of(session.token).inbox["photo"] = photograph()
    assert sessions.of(session.token) is again and again.inbox["photo"] == photograph()


def test_pictures_are_bounded_and_those_in_use_stay() -> None:
    pictures = Pictures()
    first = pictures.add("image/png", b"first")
    for _ in range(1000):
        pictures.add("image/png", b"more")
        assert pictures.has(first)
    assert pictures.get(first) == ("image/png", b"first")
    assert len(pictures._kept) == kept.MOST_PICTURES


def test_nothing_is_written_to_disk(session: Session, studio_project: Path) -> None:
    session.history.add(Changes().with_amount("smile", 2))
    view_of(session)
    session.png(session.pasted("square").image)
    assert sorted(path.name for path in studio_project.iterdir()) == ["dvc.yaml", "params.yaml"]


def test_a_photograph_is_there_when_its_first_picture_is(
    photograph: Photograph, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then other threads, such as a look at what runs, see the one before, which is whole."""
    session.history.add(Changes().with_amount("smile", 2))
    before = view_of(session)
    seen: list[dict[str, Any]] = []
    invert = session.models.invert

    def inverted(*given: Any, **more: Any) -> Any:
        seen.append(view_of(session))
        return invert(*given, **more)

    monkeypatch.setattr(session.models, "invert", inverted)
    session.open(photograph(5), "other.png")
    assert seen == [before] and view_of(session)["name"] == "other.png"
    monkeypatch.setattr(session.models, "invert", lambda *_: (_ for _ in ()).throw(ParamsError("no memory")))
    now = view_of(session)
    with pytest.raises(ParamsError):
        session.open(photograph(), "waves.png")
    assert view_of(session) == now


@pytest.mark.parametrize("what", ["open", "refine"])
def test_what_was_drawn_of_a_code_that_is_gone_is_not_shown(
    photograph: Photograph, session: Session, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A picture that is on its way, in another thread, while another face or a better code takes its place."""
    session.refine("long")
    session.end()  # half a code
    changes = Changes().with_amount("smile", 1)
    draw = session.models.draw

    def drawn(*given: Any) -> Image.Image:
        monkeypatch.setattr(session.models, "draw", draw)
        picture = draw(*given)
        if what == "open":
            session.open(photograph(5), "other.png")
            session.found["long"] = session.found["first"]
            session.show_method("long")
        else:
            session.refined(Refinement(session, "long"), session.found["first"], partial=False)
        return picture

    monkeypatch.setattr(session.models, "draw", drawn)
    session.history.add(changes)
    session.check()
    session.history.add(changes)
    assert session.measured is None
    assert same(session.picture(), session.models.draw(session.code, changes))


def test_small_pictures_that_are_shown_stay(session: Session) -> None:
    for amount in range(1, 16):
        session.history.add(Changes().with_amount("smile", amount / 10))
        view_of(session)
    for _ in range(3):  # of previews, while a slider moves
        for _ in range(kept.MOST_PICTURES // 2):
            session.pictures.add("image/jpeg", b"preview")
        thumbs = [state["thumb"] for state in view_of(session)["history"]]
        assert all(name and session.pictures.get(name) for name in thumbs)
    for _ in range(kept.MOST_PICTURES):
        session.pictures.add("image/jpeg", b"preview")
    for name in (state["thumb"] for state in view_of(session)["history"]):
        assert name is None or session.pictures.get(name)
