"""`ganvert stimuli`: pictures for an experiment, with a table of what they measure."""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvert.base.errors import ParamsError
from ganvert.cli.amounts import read_amounts
from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, directions_path
from ganvert.cli.editing import DIRECTION_HELP, ImageIds, Moves, Photos
from ganvert.cli.options import CodesFile, DirectionsFile, InversionOptions, SheetPx
from ganvert.cli.paths import Writes
from ganvert.cli.pictures import MOST_PX, check_sheet, write_picture, write_sheet
from ganvert.cli.sources import Source, Sources
from ganvert.editing.amounts import Amount, Percentile, amount_text

if TYPE_CHECKING:
    from PIL import Image

    from ganvert.editing.stimuli import Presentation
    from ganvert.faces import AttributeScorer
    from ganvert.scoring.metrics import NamedMetric

__all__ = ["stimuli"]

_ON_SHEET = 50  # people on the contact sheet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """The pictures of one direction: given amounts, or targets of the score that has the direction's name."""

    moves: Moves
    amounts: list[Amount]
    solved: bool

    @property
    def name(self) -> str:
        """Name of the direction, and of the score."""
        return self.moves.names[0]

    def file(self, person: str, amount: Amount) -> str:
        """Return the name of a picture."""
        return f"{person}_{self.name}_{f'to_{amount:g}' if self.solved else amount_text(amount)}.png"


class Meter:
    """Measures pictures: all attributes, and identity; nothing where crops are no aligned faces."""

    def __init__(self, folder: Path | None) -> None:
        from ganvert.faces import ATTRIBUTES, AttributeScorer
        from ganvert.scoring.score import asset_metrics

        self.names: list[str] = list(ATTRIBUTES) if folder else []
        self._scorer: AttributeScorer | None = AttributeScorer(folder) if folder else None
        self._identity: NamedMetric | None = asset_metrics(["identity_dlib"], folder)[0] if folder else None

    def scores(self, picture: Image.Image) -> Mapping[str, float | None]:
        """Return attribute to value, None where no face was found."""
        return self._scorer.score([picture])[0] if self._scorer else {}

    def identity(self, picture: Image.Image, other: Image.Image | None) -> float | str:
        """Return the distance of two faces' descriptors, empty where there is none."""
        from ganvert.images import from_pil

        if self._identity is None or other is None:
            return ""
        if other.size != picture.size:
            other = other.resize(picture.size)
        distance = float(self._identity(from_pil([picture]), from_pil([other]))[0])
        return round(distance, 4) if math.isfinite(distance) else ""


@command(
    "ganvert stimuli faces --direction smile=-2:2:5 --out stimuli",
    "ganvert stimuli --codes out/codes.parquet --target smile=1:1.4:5 --oval --size 400 --out stimuli",
)
def stimuli(
    *,
    photos: Photos = None,
    direction: Annotated[list[str] | None, typer.Option(help=DIRECTION_HELP)] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="NAME=SCORES: each picture has this measured score, in equal steps; may be repeated."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures, stimuli.csv and methods.txt."), Writes("folder")],
    codes: CodesFile = None,
    image: ImageIds = None,
    directions: DirectionsFile = None,
    oval: Annotated[bool, typer.Option("--oval", help="Cover all but the inner face.")] = False,
    background: Annotated[str, typer.Option(help="Colour around the oval, such as grey or #808080.")] = "#808080",
    size: Annotated[
        int | None, typer.Option(min=16, max=MOST_PX, help="Side of a picture; the generator's if not given.")
    ] = None,
    px: SheetPx = 128,
    options: InversionOptions,
) -> None:
    """Make stimuli for an experiment: a picture for every person, direction and amount, each measured.

    Each direction moves alone. stimuli.csv has a row per picture: file, person, amount, the scores of all attributes
    before and after, identity, fingerprints. methods.txt is a paragraph for a paper, sheet.png shows all pictures.
    """
    from ganvert.base.files import mark_output
    from ganvert.editing.stimuli import Presentation

    if not direction and not target:
        raise ParamsError("wanted --direction smile=-2:2:5, or --target smile=1:1.4:5")
    presentation = Presentation(oval=oval, background=background)
    sources = Sources(photos or [], codes, image or [], options)
    presentation = dataclasses.replace(presentation, size=size or sources.generator.resolution)
    series = _all_series(direction or [], target or [], sources, directions)
    _check_series(series, sources.needs_face)
    sources.check(out)
    people = min(len(sources), _ON_SHEET)
    check_sheet(people * len(series) * max(len(item.amounts) for item in series), px)
    meter = Meter(assets_folder() if sources.needs_face else None)
    mark_output(out)
    facts = _facts(sources, directions_path(directions), options.recipe)
    rows: list[dict[str, Any]] = []
    sheet: list[list[tuple[Image.Image, str]]] = []
    for number, source in enumerate(sources):
        for item in series:
            line = []
            for row, picture in _cells(source, item, meter):
                shown = presentation.show(picture)
                write_picture(out / row["file"], shown)
                rows.append({**row, **facts})
                line.append((shown, row["file"].removesuffix(".png")))
            if number < _ON_SHEET:
                sheet.append([(_small(picture, px), caption) for picture, caption in line])
        _write_table(out, rows, series, presentation, facts)  # with every person, so that an early end leaves both
    if rows:
        _write_sheet(out / "sheet.png", sheet, px)
        print(f"{len(rows)} pictures, stimuli.csv, methods.txt and sheet.png are in {out}")  # noqa: T201
    sources.finish()


def _all_series(direction: list[str], target: list[str], sources: Sources, directions: Path | None) -> list[Series]:
    """Return the series of --direction and --target, in that order."""
    return [
        Series(
            moves=Moves.of([text], sources, directions, "retract_once", scores=solved),
            amounts=read_amounts(text)[1],
            solved=solved,
        )
        for texts, solved in ((direction, False), (target, True))
        for text in texts
    ]


def _check_series(series: list[Series], needs_face: bool) -> None:
    """Raise ParamsError for targets of what is not measured, and for pictures of the same name."""
    from ganvert.base.registry import lookup
    from ganvert.faces import ATTRIBUTES

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


def _cells(source: Source, series: Series, meter: Meter) -> Iterator[tuple[dict[str, Any], Image.Image]]:
    """Yield the pictures of one person and direction with their rows of stimuli.csv."""
    from ganvert.editing.stimuli import solve_amount

    @functools.lru_cache(maxsize=1)
    def draw(amount: float) -> Image.Image:
        return series.moves.draw(source, (amount,))

    @functools.cache  # of all targets: solving one tries what others tried
    def scores(amount: float) -> Mapping[str, float | None]:
        return meter.scores(draw(amount))

    before = scores(0.0)
    unedited = draw(0.0)
    for wanted in series.amounts:
        reached = True
        if series.solved:
            assert not isinstance(wanted, Percentile)  # _check_series
            solved = solve_amount(lambda tried: scores(tried)[series.name], wanted)
            amount, reached = (solved.amount, solved.reached) if solved else (0.0, False)
        else:
            (amount,) = series.moves.resolved(source, (wanted,))
        picture, after = draw(amount), scores(amount)
        row: dict[str, Any] = {
            "file": series.file(source.name, wanted),
            "person": source.name,
            "image_id": source.code.image_id,
            "direction": series.name,
            "amount": round(amount, 6),
            "percentile": wanted.value if isinstance(wanted, Percentile) else "",
            "target": wanted if series.solved else "",
            "reached": int(reached) if series.solved else "",
            "sigmas": _number(series.moves.population.sigmas(series.moves.directions[0], source.code, amount)),
            "check": "",
            "identity": meter.identity(picture, unedited),
            "identity_photo": meter.identity(picture, source.crop),
        }
        row |= {f"before_{name}": _number(before.get(name)) for name in meter.names}
        row |= {f"after_{name}": _number(after.get(name)) for name in meter.names}
        row["check"] = "; ".join(_failures(row, before, after, series))
        yield row, picture


def _failures(
    row: Mapping[str, Any], before: Mapping[str, float | None], after: Mapping[str, float | None], series: Series
) -> list[str]:
    """Return the checks that a picture failed."""
    from ganvert.editing.check import failures

    quality = series.moves.directions[0].quality
    identity = row["identity"] if row["identity"] != "" else None
    return failures(
        {**after, "identity_dlib": identity},
        before,
        row["amount"],
        attribute=series.name if series.name in after else None,
        change_per_unit=quality.get("change_per_unit"),
        sigmas=row["sigmas"] if row["sigmas"] != "" else None,
    )


def _number(value: float | None) -> float | str:
    return "" if value is None else round(value, 6)


def _facts(sources: Sources, table: Path, recipe: str) -> dict[str, str]:
    """Return what all rows share: how the codes were found and by what they were moved."""
    from ganvert import __version__
    from ganvert.base.files import sha256_of

    return {
        "method": sources.method,
        "recipe": recipe,
        "generator": sources.generator.fingerprint(),
        "directions": sha256_of(table),
        "ganvert": __version__,
    }


def _write_table(
    out: Path, rows: list[dict[str, Any]], series: list[Series], presentation: Presentation, facts: Mapping[str, str]
) -> None:
    """Write stimuli.csv and methods.txt."""
    from ganvert.base.files import atomic_path
    from ganvert.editing.stimuli import methods_text

    with atomic_path(out / "stimuli.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    known = {item.name: item.moves.directions[0] for item in series}
    words = " and ".join(
        f"{name} ({move.method} in {move.space.upper()}, rows {move.first_row} to {move.last_row - 1})"
        for name, move in known.items()
    )
    text = methods_text(rows, {**facts, "directions": words}, presentation)
    with atomic_path(out / "methods.txt") as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_sheet(path: Path, lines: list[list[tuple[Image.Image, str]]], px: int) -> None:
    """Write the contact sheet: a row for every person and direction."""
    from PIL import Image

    columns = max(map(len, lines))
    blank = (Image.new("RGB", (px, px), "white"), "")
    cells = [cell for line in lines for cell in [*line, *[blank] * (columns - len(line))]]
    write_sheet(path, [picture for picture, _ in cells], columns, px, [caption for _, caption in cells])


def _small(picture: Image.Image, px: int) -> Image.Image:
    """Return a copy for the sheet: whole pictures of many people would fill the memory."""
    small = picture.copy()
    small.thumbnail((px, px))
    return small
