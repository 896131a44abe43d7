"""What a user compares, combines, takes along and makes stimuli of: the same as the commands make."""

from __future__ import annotations

import csv
import io
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from ganvert.base.errors import InputError, ParamsError, PhotoError, UnknownNameError, UnsupportedError
from ganvert.cli import app
from ganvert.codes import read_codes
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import make_edit
from ganvert.editing.render import draw_edit
from ganvert.images import to_pil
from ganvert.studio import desk, jobs, stimuli
from ganvert.studio.actions import ACTIONS, STAGED
from ganvert.studio.changes import Changes
from ganvert.studio.desk import Folder, Person
from ganvert.studio.pictures import MOST_PICTURES
from ganvert.studio.session import Session, Sessions
from ganvert.studio.times import Times
from ganvert.studio.view import view_of

Photograph = Callable[..., bytes]


def same(first: Image.Image, second: Image.Image) -> bool:
    return bool((np.asarray(first) == np.asarray(second)).all())


def ask(session: Session, what: str, **asked: Any) -> Any:
    """Do what a button does; wait for what it begins in the background."""
    answer = ACTIONS[what](session, {"what": what, **asked})
    if session.task is not None:
        assert session.task.wait(60)
    return answer


def downloaded(session: Session) -> bytes:
    assert session.task is not None and session.task.state == "done", session.task and session.task.reason
    assert session.task.download is not None
    kept = session.pictures.get(session.task.download[0])
    assert kept is not None
    return kept[1] if isinstance(kept[1], bytes) else kept[1].read_bytes()


@pytest.fixture
def edited(session: Session) -> Session:
    session.history.add(Changes().with_amount("smile", 2).with_amount("age", -1))
    return session


def test_names_of_actions() -> None:
    assert set(ACTIONS) >= STAGED


def test_a_table_of_codes_draws_the_same_picture(edited: Session, tmp_path: Path) -> None:
    answer = ask(edited, "codes")
    kept = edited.pictures.get(answer["download"]["picture"])
    assert kept is not None and answer["download"]["name"] == "waves_codes.parquet"
    assert isinstance(kept[1], bytes)
    (tmp_path / "codes.parquet").write_bytes(kept[1])
    (code,) = read_codes(tmp_path / "codes.parquet", edited.models.generator)
    assert same(to_pil(code.draw())[0], edited.plain())
    assert code.fingerprint() == edited.code.fingerprint() and code.image_id == edited.face.image_id


def test_a_png_names_the_code(edited: Session) -> None:
    with Image.open(io.BytesIO(edited.png(edited.picture()))) as file:
        texts = file.text  # type: ignore[attr-defined]
    assert texts["ganvert:code"] == edited.code.fingerprint() and len(texts["ganvert:code"]) == 64


def test_an_animation_holds_the_pictures_of_its_amounts(edited: Session) -> None:
    ask(edited, "sweep", kind=".gif", direction="smile", first=-2, last=2, count=3)
    with Image.open(io.BytesIO(downloaded(edited))) as file:
        assert file.format == "GIF" and file.n_frames == 4  # type: ignore[attr-defined]  # there and back
        file.seek(2)
        shown = np.asarray(file.convert("RGB"), dtype=float)
    at = [
        np.asarray(edited.picture(edited.history.now.with_amount("smile", amount)), dtype=float) for amount in (2, -2)
    ]
    assert np.abs(shown - at[0]).mean() < np.abs(shown - at[1]).mean()
    assert edited.task is not None
    assert "--direction smile=-2:2:3 --direction age=-1" in edited.task.command
    for wrong in ({"first": 2, "last": 2}, {"first": -9}, {"count": 1000}, {"kind": ".exe"}):
        with pytest.raises(ParamsError):
            ask(edited, "sweep", **{"direction": "smile", "first": -1, "last": 1, "count": 3, **wrong})
    with pytest.raises(UnknownNameError):
        ask(edited, "sweep", direction="smle", first=-1, last=1, count=3)


@pytest.mark.slow
def test_what_the_page_offers_is_kept(edited: Session) -> None:
    """However many previews are drawn while it stands there; and what is gone all the same is not offered."""
    ask(edited, "compare", left="first: unedited", right="first: smile +2, age -1")
    ask(edited, "sweep", direction="smile", kind=".gif", first=0, last=1, count=2)
    edited.pasted_name = edited.pictures.show(edited.picture())

    def offered() -> list[str]:
        view = view_of(edited)
        return [view["pasted"], view["compare"]["done"]["difference"], view["task"]["download"]["picture"]]

    for _ in range(3):
        for _ in range(MOST_PICTURES // 2):
            edited.pictures.add("image/jpeg", b"preview")
        assert all(map(edited.pictures.get, offered()))
    for _ in range(MOST_PICTURES):
        edited.pictures.add("image/jpeg", b"preview")
    view = view_of(edited)
    assert view["pasted"] is view["compare"]["done"] is view["task"]["download"] is None


def test_a_folder_gets_the_edit(edited: Session, photograph: Photograph) -> None:
    ask(edited, "apply")
    assert edited.task is not None and "no photographs yet" in edited.task.reason
    for name, data in (("a.png", photograph(5)), ("waves.png", photograph()), ("bad.jpg", b"no picture")):
        edited.folder.add(name, data)
    place = edited.folder.place
    ask(edited, "apply", region="square")
    with zipfile.ZipFile(io.BytesIO(downloaded(edited))) as archive:
        names = set(archive.namelist())
        whole = archive.read("waves.png")
        assert "smile: 2.0" in archive.read("edit.yaml").decode()
        assert "--direction smile=2 --direction age=-1" in archive.read("command.txt").decode()
    assert names == {"a.png", "waves.png", "edit.yaml", "command.txt", "photos.parquet", "codes.parquet"}
    with Image.open(io.BytesIO(whole)) as file:  # the photograph in work is among them: it gets the same picture
        assert same(file.convert("RGB"), edited.pasted("square").image)
        assert file.text["ganvert:edits"] == "smile +2, age -1"  # type: ignore[attr-defined]
    edited.leave()
    assert not place.exists()


def test_a_folder_is_bounded_and_its_names_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder()
    try:
        for name in ("../../me.jpg", "me.jpg", "a/b.png", "c.jpg/../../d", "\0.png", "x" * 400 + ".jpg"):
            folder.add(name, b"1234567890")
        assert {path.parent for path in folder.files} == {folder.place / "photos"} and len(folder.files) == 6
        monkeypatch.setattr(desk, "MOST_FOLDER", 61)
        with pytest.raises(InputError, match="at most"):
            folder.add("more.jpg", b"12")
    finally:
        folder.delete()


def test_work_in_the_background_can_be_stopped(edited: Session, photograph: Photograph) -> None:
    edited.begin("first", _until_over)
    with pytest.raises(InputError, match="first still runs"):
        edited.begin("second", _until_over)
    ask(edited, "stop")
    assert edited.task is not None and edited.task.state == "cancelled"
    # An inversion that runs is waited for, and the wait can be stopped as well.
    edited.refine("long")
    edited.inbox["second"] = photograph(5)
    ACTIONS["meet"](edited, {"role": "second", "name": "you.png"})
    ask(edited, "stop")
    assert edited.task.state == "cancelled" and not edited.people.known["second"].found
    edited.end()


def _until_over(task: jobs.Task) -> None:
    while True:
        task.report(0.5)


@pytest.mark.slow
def test_two_edits_are_compared(edited: Session) -> None:
    ask(edited, "compare", left="first: unedited", right="first: smile +2, age -1")
    view = view_of(edited)
    assert view["compare"]["done"]["sides"] == ["first: unedited", "first: smile +2, age -1"]
    rows = {name: (left, right) for name, left, right, _ in view["compare"]["done"]["rows"]}
    size = edited.models.generator.resolution
    target = np.asarray(edited.face.aligned.crop, dtype=float)
    errors = [
        ((np.asarray(p, dtype=float) / 127.5 - target / 127.5) ** 2).mean() for p in (edited.plain(), edited.picture())
    ]
    assert rows[f"mse_{size}, to the photograph"] == tuple(f"{error:.3g}" for error in errors)
    better = {name: better for name, _, _, better in view["compare"]["done"]["rows"]}[f"mse_{size}, to the photograph"]
    assert better == (-1 if errors[0] < errors[1] else 1)
    assert [view["stage"][side][1] for side in ("left", "right")] == view["compare"]["done"]["sides"]
    with pytest.raises(InputError, match="two different"):
        ask(edited, "compare", left="photograph", right="photograph")
    with pytest.raises(UnknownNameError):
        ask(edited, "compare", left="photograph", right="second: unedited")


def test_two_people_are_combined(session: Session, photograph: Photograph) -> None:
    with pytest.raises(InputError, match="no photograph of the second person"):
        ask(session, "combine", edit="interpolate")
    with pytest.raises(InputError, match="did not arrive"):
        ask(session, "meet", role="second", name="you.png")
    session.inbox["second"] = photograph(5)
    ask(session, "meet", role="second", name="you.png")
    assert view_of(session)["people"]["known"]["second"]["ready"]
    other = session.people.known["second"].found["first"].code
    for edit, options in (("interpolate", {"part": "all"}), ("mix", {"first_row": 2, "last_row": None})):
        ask(session, "combine", edit=edit, amount=0.25, **options)
        wanted = make_edit(edit, {key: value for key, value in options.items() if value is not None})
        assert session.people.result is not None
        expected = draw_edit(wanted, EditInputs(code=session.code, references=[other]), 0.25)
        assert same(session.people.result[0], expected) and not same(expected, session.plain())
    answer = ask(session, "save people")
    with Image.open(io.BytesIO(session.pictures.get(answer["download"]["picture"])[1])) as file:  # type: ignore[index,arg-type]
        assert other.image_id in file.text["ganvert:edits"]  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedError, match="one part only"):  # codes of W+ have no padding
        ask(session, "combine", edit="blend")
    ask(session, "animate", kind=".gif", part="all")
    with Image.open(io.BytesIO(downloaded(session))) as file:
        assert file.n_frames == 20  # type: ignore[attr-defined]  # of eleven, there and back
    session.inbox["second"] = b"no picture"
    with pytest.raises(PhotoError):
        ask(session, "meet", role="second", name="you.png")
    assert "second" in session.people.known


@pytest.mark.parametrize(
    ("what", "asked", "wanted"),
    [
        ("animate", {"part": "all"}, {"given": ["me.jpg", "you.jpg"], "move": "all", "method": "padded"}),
        ("animate", {"part": "own"}, {"given": ["me.jpg", "you.jpg"], "move": "own"}),
        ("diffuse", {"onto": "second"}, {"targets": ["me.jpg"], "onto": ["you.jpg"], "crop": [110]}),
        ("diffuse", {"onto": "first"}, {"targets": ["you.jpg"], "onto": ["me.jpg"]}),
        ("sweep", {"direction": "smile", "first": 0, "last": 1, "count": 2}, {"photos": ["me.jpg"], "crop": True}),
    ],
)
def test_command_lines_do_what_the_page_does(
    session: Session, photograph: Photograph, what: str, asked: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """As the command reads them: the studio's table of directions is not the shipped one."""
    for method in ("padded", "balanced"):
        session.refine(method)
        assert session.refinement is not None and session.refinement.wait(60)
    session.show_method("padded")
    session.inbox["second"] = photograph(5)
    ask(session, "meet", role="second", name="you.png")
    ask(session, what, method="balanced", kind=".gif", **asked)
    assert session.task is not None and session.task.state == "done", session.task.reason
    program, name, *words = shlex.split(session.task.command)
    read = get_command(app).commands[name].make_context(name, words).params  # type: ignore[attr-defined]
    assert program == "ganvert" and read["method"] in ("balanced", "padded")

    def plain(value: Any) -> Any:
        return [str(one) for one in value] if value and isinstance(value[0], Path) else value

    assert {key: plain(read[key]) if isinstance(read[key], list | tuple) else read[key] for key in wanted} == wanted


def test_a_button_that_is_refused_changes_nothing(session: Session, photograph: Photograph) -> None:
    session.inbox["second"] = photograph(5)
    ask(session, "meet", role="second", name="you.png")
    ask(session, "combine", edit="interpolate", amount=0.5)
    before, result = dict(session.people.known), session.people.result
    with session.models.working:
        ACTIONS["animate"](session, {"kind": ".gif", "part": "all"})
        session.inbox["second"] = photograph(7)
        for what, more in (("meet", {"role": "second", "name": "they.png"}), ("diffuse", {"method": "balanced"})):
            with pytest.raises(InputError, match="still runs"):
                ACTIONS[what](session, {"what": what, **more})
        assert session.task is not None
        session.task.cancel()
    assert session.task.wait(60)
    assert session.people.known == before and session.people.result is result is not None
    ask(session, "meet", role="second", name="they.png")  # it has arrived, and need not be sent again
    assert session.people.known["second"].opened.name == "they.png"
    with pytest.raises(ParamsError, match=r"wanted \.gif or \.mp4"):
        ask(session, "animate", kind=".exe")


def test_a_transfer_changes_what_the_pair_changed(session: Session, photograph: Photograph) -> None:
    for role, data in (("second", photograph()), ("after", photograph(5))):
        session.inbox[role] = data
        ask(session, "meet", role=role, name=f"{role}.png")
    ask(session, "combine", edit="transfer", amount=1.0, part="all")
    after = session.people.known["after"].found["first"].code
    assert session.people.result is not None  # the pair's first photograph is the one in work
    assert same(session.people.result[0], to_pil(after.draw())[0])


def test_one_face_is_diffused_into_the_other(session: Session, photograph: Photograph) -> None:
    session.inbox["second"] = photograph(5)
    ask(session, "meet", role="second", name="you.png")
    ask(session, "diffuse", method="balanced", crop=110, around=0.5, onto="second")
    assert session.task is not None and session.task.state == "done", session.task.reason
    assert session.people.result is not None and not same(session.people.result[0], session.plain())
    with pytest.raises(ParamsError, match="inside the picture"):
        ask(session, "diffuse", method="balanced", crop=300)


@pytest.mark.slow
def test_stimuli_are_those_of_the_command(session: Session, tiny_run_in: Callable[..., Any], tmp_path: Path) -> None:
    ask(session, "stimuli", directions=["smile", "age"], first=-1, last=1, count=2, oval=True)
    assert session.task is not None and session.task.state == "done", session.task.reason
    ask(session, "tick", cell=1)
    view = view_of(session)["stimuli"]["done"]
    assert (view["total"], len(view["cells"]), view["kept"]) == (4, 4, 3)
    answer = ask(session, "export")
    path = session.pictures.get(answer["download"]["picture"])[1]  # type: ignore[index]
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "set")
        line = archive.read("command.txt").decode().splitlines()
    person = session.face.image_id
    assert line[1] == f"# then without {person}_smile_+1.png"
    done = tiny_run_in(tmp_path / "set", line[0])
    assert done.exit_code == 0, done.output
    rows, theirs = (
        list(csv.DictReader(path.open()))
        for path in (tmp_path / "set/stimuli.csv", tmp_path / "set/stimuli/stimuli.csv")
    )
    assert len(rows) == 3 and rows == [row for row in theirs if row["file"] != f"{person}_smile_+1.png"]
    for row in rows:
        with (
            Image.open(tmp_path / "set" / row["file"]) as mine,
            Image.open(tmp_path / "set/stimuli" / row["file"]) as other,
        ):
            assert same(mine, other)
    with pytest.raises(ParamsError, match="tick it"):
        ask(session, "stimuli", directions=[], first=-1, last=1, count=2)


def test_levels_can_be_measured_scores(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a score that grows evenly with the picture's shade."""
    wanted = {"directions": ["smile"], "by": "scores", "first": 10, "last": 90, "count": 3}
    with pytest.raises(ParamsError, match="scores are of faces"):
        ask(session, "stimuli", **wanted)

    plain = np.asarray(session.plain(), dtype=float).mean()

    def shade(picture: Image.Image) -> float:
        return 100 * float(np.asarray(picture, dtype=float).mean() - plain)

    ends = [shade(session.picture(Changes().with_amount("smile", amount))) for amount in (0, 1.5)]
    span = np.ptp([shade(session.picture(Changes().with_amount("smile", amount))) for amount in (-2.6, 0, 2.6)])
    meter = SimpleNamespace(names=["smile"], scores=lambda p: {"smile": shade(p)}, identity=lambda p, other: "")
    monkeypatch.setattr(stimuli, "Meter", lambda folder: meter)
    monkeypatch.setattr(session.models, "needs_face", True)
    session.models.sampled = {"smile": np.linspace(ends[0], ends[1], 101).tolist()}
    ask(session, "stimuli", **wanted)
    assert session.task is not None and session.task.state == "done", session.task.reason
    assert session.stimuli is not None and "--target smile=" in session.stimuli.command
    rows = [cell.row for cell in session.stimuli.cells]
    targets = np.percentile(ends, [10, 50, 90])  # in equal steps
    np.testing.assert_allclose([row["target"] for row in rows], targets, rtol=1e-3)
    assert all(row["reached"] for row in rows)
    np.testing.assert_allclose([row["after_smile"] for row in rows], targets, atol=0.0101 * span)
    for wrong in ({"last": 101}, {"directions": ["ganspace_0"]}):
        with pytest.raises((ParamsError, UnknownNameError)):
            ask(session, "stimuli", **{**wanted, **wrong})


def test_percentiles_are_amounts(session: Session) -> None:
    ask(session, "amount", direction="smile", amount="p90")
    (amount,) = session.history.now.amounts.values()
    direction = session.models.direction("smile", session.code)
    sigmas = session.models.population.sigmas(direction, session.code, amount)
    session.check()
    assert view_of(session)["places"]["smile"] == pytest.approx(sigmas, abs=0.01)
    for wrong in ("p101", "much", "nan", "9"):
        with pytest.raises(ParamsError):
            ask(session, "amount", direction="smile", amount=wrong)


def test_rows_and_conditions_of_an_edit(edited: Session) -> None:
    shown = view_of(edited)
    assert "grin" not in shown["directions"] and shown["ranges"]["smile"] == (-2.6, 2.6)
    smile, age = shown["changes"]
    assert [name for name, _ in smile["ranges"]] == ["", "pose", "face", "all"] and smile["rows"] == ""
    assert (smile["conditions"], smile["held"], smile["can_be_free"]) == (["age"], True, True)
    assert (age["conditions"], age["can_be_free"]) == ([], False)
    assert (age["tested"], smile["tested"]) == ("tested from -4 to 4", "not tested")
    whole = edited.picture()
    ask(edited, "rows", direction="smile", rows="pose")
    assert view_of(edited)["changes"][0]["rows"] == "pose" and not same(edited.picture(), whole)
    ask(edited, "free", direction="smile", held=False)
    assert edited.history.now.title == "grin@0:3 +2, age -1" and not view_of(edited)["changes"][0]["held"]
    ask(edited, "free", direction="smile", held=True)
    ask(edited, "rows", direction="smile", rows="all")  # its own
    assert same(edited.picture(), whole) and edited.history.now.title == "smile +2, age -1"
    ask(edited, "rows", direction="age", rows="pose")
    assert view_of(edited)["changes"][1]["tested"] == "not tested"  # on these rows
    with pytest.raises(UnknownNameError):
        ask(edited, "rows", direction="smile", rows="style")  # the generator is too small to have any
    with pytest.raises(UnsupportedError, match="none of this score without conditions"):
        ask(edited, "free", direction="age", held=False)


def test_a_sweep_keeps_the_rows(edited: Session) -> None:
    edited.history.add(edited.history.now.on_rows("smile", (0, 3)))
    ask(edited, "sweep", kind=".gif", direction="smile", first=-2, last=2, count=2)
    assert edited.task is not None and edited.task.state == "done", edited.task.reason
    assert "--direction smile@0:3=-2:2:2 --direction age=-1" in edited.task.command


def test_regions_are_those_of_faces(edited: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedError, match="regions are those of faces"):
        ask(edited, "region", region="mouth")
    with pytest.raises(UnknownNameError):
        ask(edited, "region", region="moth")
    import torch

    size = edited.models.generator.resolution
    mask = torch.zeros(1, 1, size, size)
    mask[..., size // 2 :, :] = 1
    whole = edited.picture()
    monkeypatch.setattr(edited.models, "mask_of", lambda image_id, crop, region: mask if region else None)
    edited.history.add(edited.history.now.within("mouth"))
    assert edited.history.now.title == "smile +2, age -1 (mouth)"
    change = [
        np.abs(np.asarray(p, dtype=float) - np.asarray(edited.plain())).mean(axis=(1, 2))
        for p in (whole, edited.picture())
    ]
    top = slice(0, size // 4)
    assert change[1][top].sum() < 0.1 * change[0][top].sum() and change[1][-size // 4 :].sum() > 0
    assert "mask: mouth" in edited.params("square") and "edit: local" in edited.params("square")


def test_work_in_the_background_is_of_what_it_was_asked_for(
    session: Session, photograph: Photograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever photograph, method or second person comes while it waits for its turn."""
    monkeypatch.setattr(session.models, "scores", lambda picture: {"smile": float(np.asarray(picture).mean())})
    session.inbox["second"] = photograph(5)
    ask(session, "meet", role="second", name="you.png")
    code, person = session.code, session.people.known["second"]
    session.refine("balanced")
    assert session.refinement is not None and session.refinement.wait(60)
    session.show_method("first")
    combined = {"edit": "interpolate", "amount": 0.25, "part": "all"}

    def another_comes(change: Callable[[], None], what: str, **more: Any) -> None:
        with session.models.working:
            ACTIONS[what](session, {"what": what, **more})
            change()
        assert session.task is not None and session.task.wait(60)
        assert session.task.state == "done", session.task.reason

    def method_and_person() -> None:
        session.show_method("balanced")
        session.people.known["second"] = Person(session.models.open(photograph(3), "they.png"))

    another_comes(method_and_person, "combine", **combined)
    inputs = EditInputs(code=code, references=[person.found["first"].code])
    assert session.people.result is not None
    assert same(session.people.result[0], draw_edit(make_edit("interpolate"), inputs, 0.25))
    answer = ask(session, "save people")
    with Image.open(io.BytesIO(session.pictures.get(answer["download"]["picture"])[1])) as file:  # type: ignore[index,arg-type]
        assert file.text["ganvert:code"] == code.fingerprint()  # type: ignore[attr-defined]
    for what, more in (
        ("combine", combined),
        ("match", {"direction": "smile", "target": "100"}),
        ("stimuli", {"directions": ["age"], "first": -1, "last": 1, "count": 2}),
    ):
        session.open(photograph(), "waves.png")
        another_comes(lambda: session.open(photograph(7), "other.png"), what, **more)
        assert session.people.result is session.stage is None and session.history.states == [Changes()]
    assert session.stimuli is not None
    assert {cell.row["image_id"] for cell in session.stimuli.cells} == {code.image_id}


def test_a_measured_score_is_matched(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A score that grows evenly with the picture's shade."""
    monkeypatch.setattr(
        session.models, "scores", lambda picture: {"smile": float(np.asarray(picture, dtype=float).mean())}
    )
    ends = [float(np.asarray(session.picture(Changes().with_amount("smile", a)), dtype=float).mean()) for a in (0, 1.7)]
    ask(session, "match", direction="smile", target=ends[1])
    assert session.task is not None and session.task.state == "done", session.task.reason
    measured = float(np.asarray(session.picture(), dtype=float).mean())
    assert abs(measured - ends[1]) < max(0.05 * abs(ends[1] - ends[0]), 0.05 * 4)
    assert "smile measures" in session.task.said
    with pytest.raises(ParamsError):
        ask(session, "match", direction="smile", target="wide")
    with pytest.raises(UnknownNameError):
        ask(session, "match", direction="ganspace_0", target=1)


def test_times_are_measured_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "times.json"
    times = Times(path, "f" * 64, 2)
    assert times.of("fast") is None and "estimate" in times.lines("fast")[0]
    times.add("fast", 31.0)
    times.add("fast", 44.0)  # beside other work
    again = Times(path, "f" * 64, 2)
    assert again.of("fast") == 31 and again.lines("fast")[0] == "31 s, measured on this machine"
    assert Times(path, "e" * 64, 2).of("fast") is None  # another generator
    for broken in ("", "[]", '{"x": 1}', "{" * 10):
        path.write_text(broken)
        assert Times(path, "f" * 64, 2).of("fast") is None
    assert Times(None, "f" * 64, 2).lines("w") == []


def test_a_quality_is_that_of_the_next_photograph_too(sessions: Sessions, photograph: Photograph) -> None:
    session = sessions.of(None)
    assert session.quality == "balanced"
    with pytest.raises(UnknownNameError, match="quality"):
        ask(session, "quality", method="long")
    ask(session, "quality", method="fast")  # there is no photograph to refine yet
    assert session.refinement is None
    session.open(photograph(), "waves.png")
    ask(session, "quality", method="balanced")
    assert session.refinement is not None and session.refinement.wait(60)
    assert (session.method, view_of(session)["quality"]) == ("balanced", "balanced")


def test_a_finished_inversion_is_timed(session: Session) -> None:
    session.refine("balanced")
    assert session.refinement is not None and session.refinement.wait(60)
    assert (session.models.times.of("balanced") or 0) > 0
    session.refine("long")
    session.end()
    assert session.models.times.of("long") is None
