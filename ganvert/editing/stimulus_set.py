"""Making stimuli: pictures of people along directions, each measured, with a table, a sheet and a text for a paper."""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ganvert import __version__
from ganvert.base.errors import ParamsError
from ganvert.base.files import atomic_path, file_names, sha256_of
from ganvert.base.registry import lookup
from ganvert.base.texts import brief
from ganvert.codes import Code
from ganvert.directions import Direction
from ganvert.editing.amounts import Amount, Percentile, amount_text, reach, read_amount
from ganvert.editing.check import attribute_of, failures
from ganvert.editing.contract import EditInputs, check_amount
from ganvert.editing.edits.shift import Shift
from ganvert.editing.population import Population
from ganvert.editing.render import draw_edit
from ganvert.editing.stimuli import Presentation, methods_text, solve_amount
from ganvert.faces import ATTRIBUTES, AttributeScorer
from ganvert.generators import Generator
from ganvert.images import contact_sheet, from_pil, to_png
from ganvert.scoring.metrics import NamedMetric
from ganvert.scoring.score import asset_metrics

__all__ = [
    "ON_SHEET",
    "Meter",
    "Person",
    "Series",
    "StimuliSpec",
    "cells",
    "check_series",
    "facts_of",
    "make_stimuli",
    "sheet_of",
    "write_set",
]

ON_SHEET = 50  # people on the contact sheet


@dataclasses.dataclass(frozen=True, kw_only=True)
class StimuliSpec(Presentation):
    """params.yaml: stimuli.sets.NAME.

    Attributes:
        directions: names in the directions table, or NAME@FIRST:END, and how far each moves alone: numbers of standard
            deviations, or percentiles of the samples (p90).
        targets: names in the directions table that are those of attributes, and the scores that pictures are to have.
    """

    directions: dict[str, tuple[float | str, ...]] = dataclasses.field(default_factory=dict)
    targets: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.directions and not self.targets:
            raise ParamsError("directions: wanted one or more, such as {smile: [-2, 0, 2]}, or targets")
        for name, values in (*self.directions.items(), *self.targets.items()):
            if not values or len(set(map(read_amount, values))) != len(values):
                raise ParamsError(f"{name}: wanted different numbers, at least one, got {brief(values)}")
        for amounts in self.directions.values():
            for amount in map(read_amount, amounts):
                if not isinstance(amount, Percentile):
                    check_amount(amount)
        for name in self.targets:
            lookup(ATTRIBUTES, name, "score in targets")

    def series(self, directions: Mapping[str, Direction]) -> list[Series]:
        """Return the series of directions by name, then those of targets."""
        moved = [
            Series(name=name, direction=directions[name], amounts=[read_amount(amount) for amount in amounts])
            for name, amounts in self.directions.items()
        ]
        solved = [
            Series(name=name, direction=directions[name], amounts=list(scores), solved=True)
            for name, scores in self.targets.items()
        ]
        return moved + solved


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Person:
    """Whom stimuli show.

    Attributes:
        name: for files, unlike that of any other person.
        code: of the photograph.
        crop: the aligned photograph; None where only the code is known.
    """

    name: str
    code: Code
    crop: Image.Image | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """The pictures of one direction: given amounts, or targets of the score that has the direction's name.

    Attributes:
        name: of the direction, NAME or NAME@FIRST:END, for files and the table.
        direction: along which codes move.
        amounts: how far, or with `solved` which scores pictures are to have.
        solved: see there.
        shift: the edit.
    """

    name: str
    direction: Direction
    amounts: Sequence[Amount]
    solved: bool = False
    shift: Shift = dataclasses.field(default_factory=Shift)

    @property
    def percentiles(self) -> bool:
        """Whether any amount is a percentile of the samples."""
        return any(isinstance(amount, Percentile) for amount in self.amounts)

    def file(self, person: str, amount: Amount) -> str:
        """Return the name of a picture."""
        assert not (self.solved and isinstance(amount, Percentile))
        (name,) = file_names([self.name.replace(":", "-")])  # NAME@FIRST-END
        return f"{person}_{name}_{f'to_{amount:g}' if self.solved else amount_text(amount)}.png"

    def draw(self, code: Code, amount: float) -> Image.Image:
        """Return a code's picture with an amount [standard deviations]."""
        return draw_edit(self.shift, EditInputs(code=code, directions=[(self.direction, 1.0)]), amount)


def check_series(series: Sequence[Series], measured: bool) -> None:
    """Refuse targets of what is not measured, and pictures of the same name.

    Raises:
        ParamsError, UnknownNameError: the first one.
    """
    for item in series:
        if item.solved:
            lookup(ATTRIBUTES, item.name, "score for a target")
            if not measured:
                raise ParamsError("target: scores are of faces; wanted a recipe that aligns them, such as ffhq")
            if item.percentiles:
                raise ParamsError("target: wanted scores, got a percentile; those are amounts of a direction")
    names = [(item.name, item.solved) for item in series]
    if len(set(names)) != len(names):
        raise ParamsError(f"direction, target: every direction once, got {', '.join(name for name, _ in names)}")


class Meter:
    """Measures pictures: all attributes, and identity; nothing without the folder of assets.

    Args:
        folder: of the assets; None where crops are no aligned faces.
    """

    def __init__(self, folder: Path | None) -> None:
        self.names: list[str] = list(ATTRIBUTES) if folder else []
        self._scorer: AttributeScorer | None = AttributeScorer(folder) if folder else None
        self._identity: NamedMetric | None = asset_metrics(["identity_dlib"], folder)[0] if folder else None

    def scores(self, picture: Image.Image) -> Mapping[str, float | None]:
        """Return attribute to value, None where no face was found."""
        return self._scorer.score([picture])[0] if self._scorer else {}

    def identity(self, picture: Image.Image, other: Image.Image | None) -> float | str:
        """Return the distance of two faces' descriptors, empty where there is none."""
        if self._identity is None or other is None:
            return ""
        if other.size != picture.size:
            other = other.resize(picture.size)
        distance = float(self._identity(from_pil([picture]), from_pil([other]))[0])
        return round(distance, 4) if math.isfinite(distance) else ""


def make_stimuli(
    people: Iterable[Person],
    series: Sequence[Series],
    out: Path,
    *,
    meter: Meter,
    population: Population,
    presentation: Presentation,
    facts: Mapping[str, str],
    px: int = 128,
) -> int:
    """Write a picture for every person, direction and amount, with stimuli.csv, methods.txt and sheet.png.

    Args:
        people: one after the other; only one is in memory.
        series: the directions, each of which moves alone.
        out: a folder.
        meter: measures pictures before they are shown.
        population: the generator's samples.
        presentation: how pictures are shown.
        facts: of :func:`facts_of`.
        px: side of a picture on the sheet.

    Returns:
        How many pictures there are; without any no file is written.
    """
    rows: list[dict[str, Any]] = []
    sheet: list[list[tuple[Image.Image, str]]] = []
    for number, person in enumerate(people):
        for item in series:
            line = []
            for row, picture in cells(person, item, meter, population):
                shown = presentation.show(picture)
                _write_picture(out / row["file"], shown)
                rows.append({**row, **facts})
                line.append((shown, row["file"].removesuffix(".png")))
            if number < ON_SHEET:
                sheet.append([(_small(picture, px), caption) for picture, caption in line])
        write_set(out, rows, series, presentation, facts)  # with every person, so that an early end leaves both
    if rows:
        _write_picture(out / "sheet.png", sheet_of(sheet, px))
    return len(rows)


def cells(
    person: Person, series: Series, meter: Meter, population: Population
) -> Iterator[tuple[dict[str, Any], Image.Image]]:
    """Yield the pictures of one person and direction with their rows of stimuli.csv, without the columns of facts."""

    @functools.lru_cache(maxsize=1)
    def draw(amount: float) -> Image.Image:
        return series.draw(person.code, amount)

    @functools.cache  # of all targets: solving one tries what others tried
    def scores(amount: float) -> Mapping[str, float | None]:
        return meter.scores(draw(amount))

    before = scores(0.0)
    unedited = draw(0.0)
    for wanted in series.amounts:
        reached = True
        if series.solved:
            assert not isinstance(wanted, Percentile)  # check_series
            solved = solve_amount(lambda tried: scores(tried)[series.name], wanted, reach(series.direction))
            amount, reached = (solved.amount, solved.reached) if solved else (0.0, False)
        else:
            amount = population.amount(wanted, series.direction, person.code)
        picture, after = draw(amount), scores(amount)
        row: dict[str, Any] = {
            "file": series.file(person.name, wanted),
            "person": person.name,
            "image_id": person.code.image_id,
            "direction": series.name,
            "amount": round(amount, 6),
            "percentile": wanted.value if isinstance(wanted, Percentile) else "",
            "target": wanted if series.solved else "",
            "reached": int(reached) if series.solved else "",
            "sigmas": _number(population.sigmas(series.direction, person.code, amount)),
            "check": "",
            "identity": meter.identity(picture, unedited),
            "identity_photo": meter.identity(picture, person.crop),
        }
        row |= {f"before_{name}": _number(before.get(name)) for name in meter.names}
        row |= {f"after_{name}": _number(after.get(name)) for name in meter.names}
        row["check"] = "; ".join(_failures(row, before, after, series))
        yield row, picture


def _failures(
    row: Mapping[str, Any], before: Mapping[str, float | None], after: Mapping[str, float | None], series: Series
) -> list[str]:
    """Return the checks that a picture failed."""
    attribute, change = attribute_of(series.name, series.direction.quality, after)
    identity = row["identity"] if row["identity"] != "" else None
    return failures(
        {**after, "identity_dlib": identity},
        before,
        row["amount"],
        attribute=attribute,
        change_per_unit=change,
        sigmas=row["sigmas"] if row["sigmas"] != "" else None,
    )


def _number(value: float | None) -> float | str:
    return "" if value is None else round(value, 6)


def facts_of(method: str, recipe: str, generator: Generator, table: Path) -> dict[str, str]:
    """Return what all rows share: how the codes were found and by what table of directions they were moved."""
    return {
        "method": method,
        "recipe": recipe,
        "generator": generator.fingerprint(),
        "directions": sha256_of(table),
        "ganvert": __version__,
    }


def write_set(
    out: Path,
    rows: Sequence[Mapping[str, Any]],
    series: Sequence[Series],
    presentation: Presentation,
    facts: Mapping[str, str],
) -> None:
    """Write stimuli.csv and methods.txt.

    Args:
        out: folder.
        rows: one at least, facts included.
        series: of all rows.
        presentation: how pictures are shown.
        facts: of :func:`facts_of`.
    """
    with atomic_path(out / "stimuli.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    words = " and ".join(f"{item.name} ({_words(item)})" for item in series)
    text = methods_text(rows, {**facts, "directions": words}, presentation)
    with atomic_path(out / "methods.txt") as temporary:
        temporary.write_text(text, encoding="utf-8")


def sheet_of(lines: Sequence[Sequence[tuple[Image.Image, str]]], px: int) -> Image.Image:
    """Return the contact sheet: a row of pictures with captions for every person and direction, `px` a side."""
    columns = max(map(len, lines))
    blank = (Image.new("RGB", (px, px), "white"), "")
    placed = [cell for line in lines for cell in [*line, *[blank] * (columns - len(line))]]
    return contact_sheet([picture for picture, _ in placed], columns, px, [caption for _, caption in placed])


def _words(series: Series) -> str:
    """Return what a direction is: method, space, rows, amount 1 where that is not one standard deviation, and range."""
    direction = series.direction
    words = [
        f"{direction.method} in {direction.space.upper()}",
        f"rows {direction.first_row} to {direction.last_row - 1}",
    ]
    step = direction.quality.get("step", 1.0)
    words += [] if step == 1 else [f"an amount of 1 being {step:g} standard deviations"]
    low, high = reach(direction)
    words += [f"amounts from {low:g} to {high:g}"] if series.solved else []
    return ", ".join(words)


def _write_picture(path: Path, picture: Image.Image) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(to_png(picture))


def _small(picture: Image.Image, px: int) -> Image.Image:
    """Return a copy for the sheet: whole pictures of many people would fill the memory."""
    small = picture.copy()
    small.thumbnail((px, px))
    return small
