"""Two people: the photograph in work and a second one, whose codes are mixed, or whose pictures are composed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganvert.base.errors import InputError, ParamsError
from ganvert.base.registry import lookup
from ganvert.editing.compose import box_mask, diffusion, invert_composed, preset_for_parts
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits import make_edit
from ganvert.images import to_pil
from ganvert.inversion.run import make_context
from ganvert.studio.changes import Changes
from ganvert.studio.commands import command
from ganvert.studio.desk import Person, Stage
from ganvert.studio.jobs import Task
from ganvert.studio.keep import ANIMATION_PX, add_animation, animation_kind

if TYPE_CHECKING:
    from PIL import Image

    from ganvert.codes import Code
    from ganvert.editing.contract import Edit
    from ganvert.studio.models import Models
    from ganvert.studio.session import Session

__all__ = ["COMBINATIONS", "ROLES", "animate", "combine", "diffuse", "meet", "people_view"]

#: What further photographs are for.
ROLES = {"second": "the second person", "after": "the second person with something changed"}
_FRAMES = 11  # of an animation
_DIFFUSION = "cpu_idinvert"  # as `ganvert diffuse`


@dataclasses.dataclass(frozen=True)
class _Combination:
    """An edit with further photographs, as its command does it.

    Attributes:
        roles: whose codes it takes, in order.
        options: names of the options that the page offers.
    """

    roles: tuple[str, ...]
    options: tuple[str, ...] = ()


#: Edit to what it takes.
COMBINATIONS = {
    "interpolate": _Combination(("second",), ("part",)),
    "mix": _Combination(("second",), ("first_row", "last_row")),
    "blend": _Combination(("second",)),
    "transfer": _Combination(("second", "after"), ("part",)),
}


def meet(session: Session, role: str, data: bytes, name: str) -> None:
    """Take a further photograph, and begin to invert it by the method in use.

    Raises:
        PhotoError: it cannot be used; what was there stays.
    """
    lookup(ROLES, role, "further photograph")
    session.code  # noqa: B018 (raises without a photograph)
    opened = session.models.open(data, name)
    person = Person(dataclasses.replace(opened, faces=opened.faces[:1]))
    session.people.known[role] = person
    session.people.result = None
    method = session.method

    def work(task: Task) -> None:
        _code(session.models, person, method, task)

    session.begin(f"{name} by {method}", work)


def _code(models: Models, person: Person, method: str, task: Task) -> Code:
    """Return the code of a further photograph by a method; found at its first use."""
    if method not in person.found:
        with task.taking(models.inverting):
            found = models.invert(person.face, method, lambda so_far: task.over, task.report)
        task.report(1.0)  # a cancelled inversion is no result
        person.found[method] = found
    return person.found[method].code


def _edit_of(
    session: Session, asked: Mapping[str, Any], code: Code, people: Mapping[str, Person], task: Task
) -> tuple[Edit, EditInputs, float]:
    """Return the edit that is asked for of a code and others, what it works on, and the amount."""
    name = str(asked.get("edit"))
    combination = lookup(COMBINATIONS, name, "combination of photographs")
    options = {key: asked[key] for key in combination.options if asked.get(key) not in (None, "")}
    references = [_code(session.models, people[role], code.method, task) for role in combination.roles]
    return make_edit(name, options), EditInputs(code=code, references=references), float(asked.get("amount", 1.0))


def combine(session: Session, asked: Mapping[str, Any]) -> None:
    """Begin to combine both codes: interpolate, mix, blend or transfer."""
    # As they are now: while it waits for its turn, another photograph or method may come.
    code, people = _refuse_missing(session, asked), dict(session.people.known)

    def work(task: Task) -> None:
        edit, inputs, amount = _edit_of(session, asked, code, people, task)
        picture = session.models.draw_edit(edit, inputs, amount)
        title = f"{asked['edit']} {amount:g}"
        with_whom = ", ".join(f"{reference.image_id} {reference.fingerprint()[:12]}" for reference in inputs.references)
        _show(session, code, picture, title, f"{title} with {with_whom}: {edit}")

    session.begin(f"{asked.get('edit')}", work)


def _refuse_missing(session: Session, asked: Mapping[str, Any]) -> Code:
    """Refuse at once what could not be done: no such combination, a photograph that is missing, codes without parts.

    Returns:
        The code that is combined with others.
    """
    code, name = session.code, str(asked.get("edit"))
    combination = lookup(COMBINATIONS, name, "combination of photographs")
    for role in combination.roles:
        if role not in session.people.known:
            raise InputError(f"there is no photograph of {ROLES[role]} yet: choose one")
    options = {key: asked[key] for key in combination.options if asked.get(key) not in (None, "")}
    make_edit(name, options).check_space(code.space, [])
    return code


def _show(session: Session, code: Code, picture: Image.Image, title: str, edits: str, made: Code | None = None) -> None:
    """Put a result on the stage, where the photograph of its code is still there.

    Args:
        session: the user's work.
        code: of the photograph in work when it was asked for.
        picture: the result.
        title: what it is called.
        edits: how it was made, for its metadata.
        made: the code that it is drawn from; None for `code`.
    """
    if session.face.image_id == code.image_id:
        session.people.result = picture, title, session.provenance(made or code, edits=edits)
        before = session.shown_changes(Changes())
        session.stage = Stage((before, "before"), (session.pictures.show(picture), title))


def animate(session: Session, asked: Mapping[str, Any]) -> None:
    """Begin an animation from one person to the other."""
    suffix = animation_kind(asked)
    asked = {**asked, "edit": "interpolate"}
    code, people, stem = _refuse_missing(session, asked), dict(session.people.known), session.stem
    given = ["me.jpg", "you.jpg", "--count", str(_FRAMES), "--px", str(ANIMATION_PX), "--out", f"between{suffix}"]
    given += ["--move", str(asked["part"])] if asked.get("part", "all") != "all" else []
    line = command("interpolate", given, session.models, code.method)

    def work(task: Task) -> None:
        task.command = line
        edit, inputs, _ = _edit_of(session, asked, code, people, task)
        pictures = []
        for number in range(_FRAMES):
            pictures.append(session.models.draw_edit(edit, inputs, number / (_FRAMES - 1)))
            pictures[-1].thumbnail((ANIMATION_PX, ANIMATION_PX))
            task.report((number + 1) / _FRAMES)
        task.download = add_animation(session, pictures, suffix), f"{stem}_between{suffix}"

    session.begin(f"way to the second person as {suffix[1:].upper()}", work)


def diffuse(session: Session, asked: Mapping[str, Any]) -> None:
    """Begin to diffuse one face into the surroundings of the other."""
    session.check_free()
    own = session.code
    if "second" not in session.people.known:
        raise InputError(f"there is no photograph of {ROLES['second']} yet: choose one")
    models, ours = session.models, (session.face, "me.jpg")
    theirs = session.people.known["second"].face, "you.jpg"
    onto_second = asked.get("onto", "second") == "second"
    (target, person), (context, around_it) = (ours, theirs) if onto_second else (theirs, ours)
    side, around = int(asked.get("crop", 110)), float(asked.get("around", 0.0))
    method = str(asked.get("method") or _DIFFUSION)
    if not 0 <= around <= 1:
        raise ParamsError(f"around: wanted 0 to 1, got {around:g}")
    mask = box_mask(models.generator.resolution, side)
    preset = preset_for_parts(models.context_of(method)[0])
    session.people.result = None

    def work(task: Task) -> None:
        given = [person, "--onto", around_it, "--crop", str(side), "--around", f"{around:g}", "--out", "diffused"]
        task.command = command("diffuse", given, models, method)
        composed = diffusion(target.aligned.crop, context.aligned.crop, mask, around)
        loaded = make_context(preset, models.generator, models.encoders_of(preset), models.assets)
        watched = loaded.watched(lambda so_far: task.over)
        with task.taking(models.inverting):
            code = invert_composed(composed, f"{target.image_id}+{context.image_id}", preset, watched)
        task.report(1.0)
        with models.drawing:
            (picture,) = to_pil(code.draw())
        title = f"diffused, crop {side}"
        _show(session, own, picture, title, f"{title}: {target.image_id} onto {context.image_id} by {method}", code)

    session.begin("Diffusion", work)


def people_view(session: Session) -> dict[str, Any]:
    """Return what the page shows of it."""

    def picture(role: str, person: Person) -> str:
        return session.shown(f"person {role}", person.face.image_id, lambda: person.face.aligned.crop, 256)

    return {
        "roles": ROLES,
        "known": {
            role: {
                "name": person.opened.name,
                "picture": picture(role, person),
                "ready": session.method in person.found,
            }
            for role, person in session.people.known.items()
        },
        "rows": session.models.generator.num_ws,
        "result": session.people.result[1] if session.people.result else None,
    }
