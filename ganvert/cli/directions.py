"""`ganvert directions`: the list, files of other tools (import, export), and finding one in ratings (find)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from ganvert.base.errors import ParamsError
from ganvert.cli.app import app, command, guarded
from ganvert.cli.common import directions_path, load
from ganvert.cli.options import DirectionsFile, GeneratorOptions
from ganvert.cli.paths import Reads, Writes

__all__ = ["directions", "export_direction", "find_direction", "import_directions"]

directions = typer.Typer()
app.add_typer(directions, name="directions")


@directions.callback(
    invoke_without_command=True,
    epilog="Examples: [bold]ganvert directions[/bold]   [bold]ganvert directions --directions mine.parquet[/bold]",
)
def _directions(context: typer.Context, directions: DirectionsFile = None) -> None:
    """List the directions that `ganvert edit --direction` takes; bring those of other tools, and take ours to them.

    One step, the amount 1, is a standard deviation of the generator's samples, or longer where the direction was given
    a longer one. Between the tested amounts portraits kept their faces and stayed the persons. Rows are those of ws
    that move.
    """
    if context.invoked_subcommand is None:
        guarded(_list)(directions=directions)


def _list(directions: DirectionsFile = None) -> None:
    """Print the directions of a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ganvert.directions import load_directions

    path = directions_path(directions)
    table = Table("name", "space", "one step", "tested", "rows", "found by", title=Text(str(path)))
    known = load_directions(path).values()
    for direction in known:
        if direction.stands_in:
            continue
        rows = f"{direction.first_row} to {direction.last_row - 1}"
        tested = "{:g} to {:g}".format(*direction.tested) if direction.tested else "not tested"
        table.add_row(
            Text(direction.name), direction.space, f"{direction.unit:.3g}", tested, rows, Text(direction.method)
        )
    Console().print(table)
    free = {direction.name: direction.tested for direction in known if direction.stands_in and direction.space == "w"}
    if free:
        named = [f"{name} ({'{:g} to {:g}'.format(*ends) if ends else 'not tested'})" for name, ends in free.items()]
        Console().print("Without their conditions:", Text(", ".join(named)))


@command(
    "ganvert directions import age.pt --name age --space w --out directions.parquet",
    "ganvert directions import boundary.npy --name pose --space z --unit own --out directions.parquet",
    name="import",
    group=directions,
)
def import_directions(
    *,
    file: Annotated[Path, typer.Argument(help="A file of directions (.pt, .npy, .npz, .pkl, .json)."), Reads()],
    out: Annotated[Path, typer.Option(help="The table to add them to, made if it is not there."), Writes("file")],
    name: Annotated[str | None, typer.Option(help="What it is called; the file's name if not given.")] = None,
    space: Annotated[str | None, typer.Option(help="z, w or s, where the file does not say.")] = None,
    unit: Annotated[
        str,
        typer.Option(help="Amount 1: fit, a standard deviation of samples; own, the tool's factor 1; or a length."),
    ] = "fit",
    rows: Annotated[str | None, typer.Option(help="Rows of ws that it moves, FIRST:END, not the file's.")] = None,
    options: GeneratorOptions,
) -> None:
    """Add directions of another tool to a table, for --directions. Nothing in the file is executed."""
    from ganvert.compute.device import resolve_device
    from ganvert.exchange.import_directions import import_directions as write

    _check_name(name)
    step = _unit(unit)
    _check_space(space)
    moved = _rows(rows) if rows is not None else None
    generator = load(options, resolve_device(options.device))
    for direction in write(file, generator, out, name=name, space=space, unit=step, rows=moved):
        print(  # noqa: T201
            f"{direction.name} in {direction.space}, rows {direction.first_row} to {direction.last_row - 1}: amount 1 "
            f"is a length of {direction.unit:.4g}, {direction.unit / direction.quality['own_step']:.3g} own steps"
        )
    print(out)  # noqa: T201


@command(
    "ganvert directions export smile --space w --as npy --out smile.npy",
    name="export",
    group=directions,
)
def export_direction(
    *,
    name: Annotated[str, typer.Argument(help="The direction.")],
    kind: Annotated[str, typer.Option("--as", help="npy (InterFaceGAN), pt (e4e, StyleCLIP), channels (StyleSpace).")],
    out: Annotated[Path, typer.Option(help="The file to write."), Writes("file")],
    space: Annotated[str, typer.Option(help="z, w or s.")] = "w",
    directions: DirectionsFile = None,
    options: GeneratorOptions,
) -> None:
    """Write a direction as a file that other tools read: their factor 1 is amount 1."""
    from ganvert.base.registry import lookup
    from ganvert.compute.device import resolve_device
    from ganvert.directions import choose, load_directions
    from ganvert.exchange.directions_to import DIRECTION_EXPORTS
    from ganvert.exchange.directions_to import export_direction as write

    lookup(DIRECTION_EXPORTS, kind, "kind of export")
    _check_space(space)
    generator = load(options, resolve_device(options.device))
    direction = choose(load_directions(directions_path(directions), generator), name, space)
    write(direction, generator, kind, out)
    print(out)  # noqa: T201


@command(
    "ganvert directions find --codes codes.parquet --scores ratings.csv --trait trustworthy --out mine.parquet",
    "ganvert directions find --codes codes.parquet --scores r.csv --trait kind --condition age --out mine.parquet",
    name="find",
    group=directions,
)
def find_direction(
    *,
    codes: Annotated[Path, typer.Option(help="Table of codes of the photographs that were rated."), Reads()],
    scores: Annotated[Path, typer.Option(help="Ratings: a CSV with the columns image, trait, value."), Reads()],
    trait: Annotated[str, typer.Option(help="The trait that the direction raises.")],
    out: Annotated[Path, typer.Option(help="The table to add it to, made if it is not there."), Writes("file")],
    condition: Annotated[
        list[str] | None, typer.Option(help="A trait to leave alone; may be given several times.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What it is called; the trait's name if not given.")] = None,
    rows: Annotated[str | None, typer.Option(help="Rows of ws that it moves, FIRST:END; all if not given.")] = None,
    vectors: Annotated[
        str, typer.Option(help="one for all rows, or rows: a vector for each, which takes hundreds of photographs.")
    ] = "one",
    fit: Annotated[
        str, typer.Option(help="ridge: a regression on all ratings; svm: the highest against the lowest.")
    ] = "ridge",
    options: GeneratorOptions,
) -> None:
    """Find a direction in rated photographs: codes of `ganvert invert` and ratings, several of an image averaged."""
    from ganvert.codes import names_of_images, read_codes
    from ganvert.compute.device import resolve_device
    from ganvert.directions import (
        LabelledOptions,
        add_directions,
        find_labelled,
        load_directions,
        read_ratings,
    )

    _check_name(trait if name is None else name)
    first, last = _rows(rows) if rows is not None else (0, None)
    ratings = read_ratings(scores)
    wanted = LabelledOptions(
        trait=trait,
        condition_on=tuple(condition or ()),
        name=name,
        first_row=first,
        last_row=last,
        vectors=cast(Any, vectors),
        fit=cast(Any, fit),
    )
    generator = load(options, resolve_device(options.device))
    if out.exists():
        load_directions(out, generator)  # of another generator, it is refused before the fit
    found = find_labelled(read_codes(codes, generator, whole=False), ratings, wanted, names_of_images(codes))
    add_directions(out, [found], generator)
    quality = found.quality
    leak = "".join(f", {other} {value:.2f}" for other, value in quality["leak"].items())
    halves = f"{quality['halves_cosine']:.2f}" if "halves_cosine" in quality else "unknown, too few photographs"
    print(  # noqa: T201
        f"{found.name} in {found.space} from {quality['photographs']} photographs; held out: accuracy "
        f"{quality['validation_accuracy']:.2f}, correlation with the ratings {quality['correlation']:.2f}{leak}; "
        f"cosine of two halves' directions {halves}"
    )
    print(out)  # noqa: T201


def _check_name(name: str | None) -> None:
    """Raise ParamsError for a name that --direction NAME=AMOUNTS could not take."""
    if name is not None and (not name or "=" in name):
        raise ParamsError(
            f"--name: wanted a name without =, which --direction NAME=AMOUNTS could not take, got {name!r}"
        )


def _unit(text: str) -> Any:
    """Return fit, own, or the number that a text is."""
    if text in ("fit", "own"):
        return text
    try:
        step = float(text)
    except ValueError as error:
        raise ParamsError(f"--unit: wanted fit, own or a number, got {text!r}") from error
    if not 0 < step < math.inf:
        raise ParamsError(f"--unit: wanted a positive number, got {text!r}")
    return step


def _check_space(name: str | None) -> None:
    """Raise ParamsError for a space that has no directions."""
    if name not in (None, "z", "w", "zplus", "wplus", "s"):
        raise ParamsError(f"--space: wanted z, w or s, got {name!r}")


def _rows(text: str) -> tuple[int, int]:
    """Return the range of rows of FIRST:END."""
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal()):
        raise ParamsError(f"--rows: wanted FIRST:END such as 4:8, got {text!r}")
    return cast(tuple[int, int], (int(first), int(end)))
