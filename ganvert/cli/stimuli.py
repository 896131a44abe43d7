"""`ganvert stimuli`: pictures for an experiment, with a table of what they measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvert.base.errors import ParamsError
from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, counted, directions_path
from ganvert.cli.editing import DIRECTION_HELP, ImageIds, Moves, Photos
from ganvert.cli.options import CodesFile, DirectionsFile, InversionOptions, SheetPx
from ganvert.cli.paths import Writes
from ganvert.cli.pictures import MOST_PX, check_sheet
from ganvert.cli.sources import Sources
from ganvert.editing.requests import read_amounts

if TYPE_CHECKING:
    from ganvert.editing.stimulus_set import Person, Series

__all__ = ["stimuli"]


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
    from ganvert.editing.population import Population
    from ganvert.editing.stimuli import Presentation
    from ganvert.editing.stimulus_set import ON_SHEET, Meter, check_series, facts_of, make_stimuli

    if not direction and not target:
        raise ParamsError("wanted --direction smile=-2:2:5, or --target smile=1:1.4:5")
    presentation = Presentation(oval=oval, background=background)
    sources = Sources(photos or [], codes, image or [], options)
    presentation = dataclasses.replace(presentation, size=size or sources.generator.resolution)
    series = _all_series(direction or [], target or [], sources, directions)
    check_series(series, sources.needs_face)
    sources.check(out)
    people = min(len(sources), ON_SHEET)
    check_sheet(people * len(series) * max(len(item.amounts) for item in series), px)
    meter = Meter(assets_folder() if sources.needs_face else None)
    mark_output(out)
    made = make_stimuli(
        _people(sources),
        series,
        out,
        meter=meter,
        population=Population(sources.generator),
        presentation=presentation,
        facts=facts_of(sources.method, options.recipe, sources.generator, directions_path(directions)),
        px=px,
    )
    if made:
        print(f"{counted(made, 'picture')}, stimuli.csv, methods.txt and sheet.png are in {out}")  # noqa: T201
    sources.finish()


def _all_series(direction: list[str], target: list[str], sources: Sources, directions: Path | None) -> list[Series]:
    """Return the series of --direction and --target, in that order."""
    from ganvert.editing.stimulus_set import Series

    found = []
    for texts, solved in ((direction, False), (target, True)):
        for text in texts:
            moves = Moves.of([text], sources, directions, "retract_once", scores=solved)
            name, amounts = read_amounts(text)
            found.append(
                Series(
                    name=name,
                    direction=moves.directions[0],
                    amounts=amounts,
                    solved=solved,
                    shift=moves.shift,
                )
            )
    return found


def _people(sources: Sources) -> Iterator[Person]:
    from ganvert.editing.stimulus_set import Person

    for source in sources:
        yield Person(name=source.name, code=source.code, crop=source.crop)
