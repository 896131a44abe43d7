"""A set of stimuli: a picture and a row of measures for every person, direction and amount, and the table of them."""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ganvert import __version__
from ganvert.base.errors import ParamsError
from ganvert.base.files import atomic_path, sha256_of
from ganvert.base.registry import lookup
from ganvert.codes import Code
from ganvert.directions import Direction
from ganvert.editing import check
from ganvert.editing.amounts import Amount, Percentile, amount_text
from ganvert.editing.contract import EditInputs
from ganvert.editing.edits.shift import Shift
from ganvert.editing.population import Population
from ganvert.editing.render import draw_edit
from ganvert.editing.stimuli import Presentation, methods_text, solve_amount
from ganvert.faces import ATTRIBUTES, AttributeScorer
from ganvert.generators import Generator
from ganvert.images import contact_sheet, from_pil
from ganvert.scoring.metrics import NamedMetric
from ganvert.scoring.score import asset_metrics

__all__ = ["Meter", "Person", "Series", "cells", "check_series", "facts_of", "sheet_of", "write_set"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Person:
    """Who is shown.

    Attributes:
        name: for files, unlike that of any other person.
        code: of the photograph.
        crop: its aligned crop; None where only the code is known.
    """

    name: str
    code: Code
    crop: Image.Image | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """The pictures of one direction: given amounts, or targets of the score that has the direction's name.

    Attributes:
        name: of the direction, for files, and of the score.
        direction: what codes move along.
        amounts: or targets.
        solved: whether they are targets.
        population: the generator's samples.
        shift: how codes move.
    """

    name: str
    direction: Direction
    amounts: Sequence[Amount]
    solved: bool
    population: Population
    shift: Shift = dataclasses.field(default_factory=Shift)

    def file(self, person: str, amount: Amount) -> str:
        """Return the name of a picture."""
        return f"{person}_{self.name}_{f'to_{amount:g}' if self.solved else amount_text(amount)}.png"

    def draw(self, code: Code, amount: float) -> Image.Image:
        """Draw a code moved by an amount."""
        return draw_edit(self.shift, EditInputs(code=code, directions=[(self.direction, amount)]), 1.0)


class Meter:
    """Measures pictures: all attributes, and identity; nothing where crops are no aligned faces.

    Args:
        folder: of the assets; None where crops are no faces.
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


def check_series(series: Sequence[Series], needs_face: bool) -> None:
    """Raise ParamsError for targets of what is not measured, and for pictures of the same name."""
    for item in series:
        if item.solved:
            lookup(ATTRIBUTES, item.name, "score for --target")
            if not needs_face:
                raise ParamsError("--target: scores are of faces; wanted a --recipe that aligns them, such as ffhq")
            if any(isinstance(amount, Percentile) for amount in item.amounts):
                raise ParamsError("--target: wanted scores, got a percentile; those are amounts of --direction")
    names = [(item.name, item.solved) for item in series]
    if len(set(names)) != len(names):
        raise ParamsError(f"--direction, --target: every direction once, got {', '.join(name for name, _ in names)}")


def cells(person: Person, series: Series, meter: Meter) -> Iterator[tuple[dict[str, Any], Image.Image]]:
    """Yield the pictures of one person and direction with their rows of stimuli.csv."""

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
            solved = solve_amount(lambda tried: scores(tried)[series.name], wanted)
            amount, reached = (solved.amount, solved.reached) if solved else (0.0, False)
        else:
            amount = series.population.amount(wanted, series.direction, person.code)
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
            "sigmas": _number(series.population.sigmas(series.direction, person.code, amount)),
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
    identity = row["identity"] if row["identity"] != "" else None
    return check.failures(
        {**after, "identity_dlib": identity},
        before,
        row["amount"],
        attribute=series.name if series.name in after else None,
        change_per_unit=series.direction.quality.get("change_per_unit"),
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
    known = {item.name: item.direction for item in series}
    words = " and ".join(
        f"{name} ({move.method} in {move.space.upper()}, rows {move.first_row} to {move.last_row - 1})"
        for name, move in known.items()
    )
    text = methods_text(rows, {**facts, "directions": words}, presentation)
    with atomic_path(out / "methods.txt") as temporary:
        temporary.write_text(text, encoding="utf-8")


def sheet_of(lines: Sequence[Sequence[tuple[Image.Image, str]]], px: int) -> Image.Image:
    """Return the contact sheet: a row of pictures with captions for every person and direction, `px` a side."""
    columns = max(map(len, lines))
    blank = (Image.new("RGB", (px, px), "white"), "")
    placed = [cell for line in lines for cell in [*line, *[blank] * (columns - len(line))]]
    return contact_sheet([picture for picture, _ in placed], columns, px, [caption for _, caption in placed])
