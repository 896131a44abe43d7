"""Stimulus sets: people x directions x amounts, as `ganvert stimuli` makes them, and its command line."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganvert.base.errors import InputError, ParamsError
from ganvert.base.files import file_names
from ganvert.base.registry import lookup
from ganvert.codes import names_of_images, read_codes
from ganvert.editing.requests import read_amounts
from ganvert.editing.stimuli import Presentation
from ganvert.editing.stimulus_set import Meter, Person, Series, cells, check_series, facts_of, sheet_of, write_set
from ganvert.images import from_png, to_png
from ganvert.studio.commands import command
from ganvert.studio.desk import Cell, StimulusSet
from ganvert.studio.jobs import Task
from ganvert.studio.keep import codes_file, invert_folder, series_text, zipped

if TYPE_CHECKING:
    from PIL import Image

    from ganvert.studio.models import Face, Found, Models
    from ganvert.studio.session import Session

__all__ = ["export", "make", "stimuli_view", "tick"]

_THUMB_PX, _SHEET_PX = 128, 128
_MOST_CELLS = 400  # whose small pictures are kept together


def make(session: Session, asked: Mapping[str, Any]) -> None:
    """Begin to draw and measure a set: of the photograph in work, or of all in the folder."""
    face, found = session.work()
    models, method = session.models, found.code.method
    names = [str(name) for name in asked.get("directions") or ()]
    if not names:
        raise ParamsError("wanted one direction at least: tick it")
    solved = asked.get("by") == "scores"
    texts = [_text(models, name, asked, solved) for name in names]
    series = [
        Series(
            name=name,
            direction=models.direction(name, found.code),
            amounts=read_amounts(text)[1],
            solved=solved,
        )
        for name, text in zip(names, texts, strict=True)
    ]
    check_series(series, models.needs_face)
    whole = bool(asked.get("folder"))
    people = len(session.folder.files) if whole else 1
    if not people:
        raise InputError("there are no photographs yet: choose a folder or several files first")
    total = people * sum(len(item.amounts) for item in series)
    if total > _MOST_CELLS:
        raise ParamsError(
            f"{total} pictures are too many for a page, wanted {_MOST_CELLS}; `ganvert stimuli` makes more"
        )
    presentation = Presentation(oval=bool(asked.get("oval")), size=models.generator.resolution)
    option = "--target" if solved else "--direction"
    given = ["--codes", "codes.parquet", *(word for text in texts for word in (option, text))]
    given += ["--oval"] if presentation.oval else []
    given += [] if models.recipe == "ffhq" else ["--recipe", models.recipe]
    place = session.folder.place / "stimuli"
    line = command("stimuli", [*given, "--out", "stimuli"], models)
    made = StimulusSet(series=series, presentation=presentation, command=line, total=total)

    def work(task: Task) -> None:
        task.command = made.command
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        if whole:
            table = invert_folder(session, method, lambda done: task.report(0.5 * done)) / "codes.parquet"
        else:
            table = _table(models, face, found, place)
        made.table = table
        known = names_of_images(table)
        codes = read_codes(table, models.generator)
        facts = facts_of(method, models.recipe, models.generator, models.directions_path)
        meter = Meter(models.assets if models.needs_face else None)
        for code, name in zip(codes, file_names(known.get(i, i) for i in codes.image_ids), strict=True):
            for item in series:
                _draw(session, task, made, Person(name=name, code=code), item, meter, facts, place)

    session.begin("Stimuli", work)
    session.stimuli = made


def _text(models: Models, name: str, asked: Mapping[str, Any], solved: bool) -> str:
    """Return NAME=FIRST:LAST:COUNT: amounts, or for `solved` scores between percentiles of the generator's faces."""
    first, last, count = float(asked["first"]), float(asked["last"]), int(asked["count"])
    if not solved:
        return series_text(name, first, last, count, models.reach(name))
    series_text("percentiles of scores", first, last, count, (0.0, 100.0))
    scores = lookup(models.sampled, name, "score for a target")
    low, high = (float(f"{end:.4g}") for end in np.percentile(scores, [first, last]))
    return series_text(name, low, high, count, (low, high))


def _table(models: Models, face: Face, found: Found, place: Path) -> Path:
    """Write the table of one code into a folder, with what lies beside it; return its path."""
    data, name = codes_file(models, face, found)
    (place / name).write_bytes(data)
    if name.endswith(".zip"):
        with zipfile.ZipFile(place / name) as archive:
            archive.extractall(place)
    return place / "codes.parquet"


def _draw(
    session: Session,
    task: Task,
    made: StimulusSet,
    person: Person,
    series: Series,
    meter: Meter,
    facts: Mapping[str, str],
    place: Path,
) -> None:
    """Draw and measure the pictures of a person and a direction."""
    rows = cells(person, series, meter, session.models.population)
    while True:
        with session.models.drawing, session.models.measuring:  # one cell each, so that a slider may come between
            cell = next(rows, None)
        if cell is None:
            return
        row, picture = cell
        shown = made.presentation.show(picture)
        (place / row["file"]).write_bytes(to_png(shown, session.provenance(person.code, edits=row["file"][:-4])))
        thumb = session.pictures.show(shown, _THUMB_PX)
        made.cells.append(Cell({**row, **facts}, thumb, kept=not row["check"] and row["reached"] != 0))
        task.report(0.5 + 0.5 * len(made.cells) / made.total)


def tick(session: Session, asked: Mapping[str, Any]) -> None:
    """Take a picture out of the export, or in again."""
    if session.stimuli is None or not 0 <= int(asked["cell"]) < len(session.stimuli.cells):
        raise InputError("there is no such picture")
    cell = session.stimuli.cells[int(asked["cell"])]
    cell.kept = not cell.kept


def export(session: Session, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an archive of the pictures that are kept, with their table, as `ganvert stimuli` writes them."""
    made = session.stimuli
    kept = [cell for cell in made.cells if cell.kept] if made is not None else []
    if made is None or not kept or (session.task is not None and session.task.active):
        raise InputError("there is no finished set with a picture that is kept: make one first")
    place, rows = session.folder.place / "stimuli", [cell.row for cell in kept]
    facts = {name: rows[0][name] for name in ("method", "recipe", "generator", "directions", "ganvert")}
    write_set(place, rows, made.series, made.presentation, facts)
    lines: dict[tuple[str, str], list[tuple[Image.Image, str]]] = {}
    for row in rows:
        picture = from_png((place / row["file"]).read_bytes())
        picture.thumbnail((_SHEET_PX, _SHEET_PX))
        lines.setdefault((row["person"], row["direction"]), []).append((picture, row["file"][:-4]))
    (place / "sheet.png").write_bytes(to_png(sheet_of(list(lines.values()), _SHEET_PX)))
    left_out = [cell.row["file"] for cell in made.cells if not cell.kept]
    note = f"{made.command}\n" + (f"# then without {', '.join(left_out)}\n" if left_out else "")
    tables = _tables(made)
    names = ["stimuli.csv", "methods.txt", "sheet.png", *(row["file"] for row in rows)]
    with zipped(place / "stimuli.zip", tables | {name: place / name for name in names}, {"command.txt": note}):
        pass
    name = session.pictures.add("application/zip", place / "stimuli.zip")
    return {"download": {"picture": name, "name": "stimuli.zip"}}


def _tables(made: StimulusSet) -> dict[str, Path]:
    """Return the table of codes, with what lies beside it, by its name in the archive."""
    assert made.table is not None  # of a finished set
    files = [made.table, *sorted(made.table.parent.glob("codes.tuned/*"))]
    photos = made.table.parent / "photos.parquet"
    files += [photos] if photos.exists() else []
    return {file.relative_to(made.table.parent).as_posix(): file for file in files}


def stimuli_view(session: Session) -> dict[str, Any]:
    """Return what the page shows of it."""
    named, numbered = session.models.directions
    made = session.stimuli
    scored = [name for name in named if name in session.models.sampled] if session.models.needs_face else []
    view: dict[str, Any] = {"directions": named or numbered, "scored": scored, "done": None}
    if made is not None:
        view["done"] = {
            "command": made.command,
            "total": made.total,
            "kept": sum(cell.kept for cell in made.cells),
            "cells": [
                {
                    "person": cell.row["person"],
                    "direction": cell.row["direction"],
                    "amount": cell.row["amount"],
                    "target": cell.row["target"],
                    "reached": cell.row["reached"],
                    "thumb": session.pictures.kept(cell.thumb),
                    "kept": cell.kept,
                    "check": cell.row["check"],
                }
                for cell in made.cells
            ],
        }
    return view
