"""`ganvert import-codes`, `export-codes`, `directions import` and `directions export`: files of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from ganvert.base.errors import InputError, ParamsError
from ganvert.cli.app import app, command
from ganvert.cli.common import load
from ganvert.cli.options import GeneratorOptions
from ganvert.cli.paths import Reads, Writes

__all__ = ["directions", "export_codes", "export_direction", "import_codes", "import_directions"]

directions = typer.Typer(no_args_is_help=True, help="Bring directions of other tools, and take ours to them.")
app.add_typer(directions, name="directions")


@command("ganvert import-codes latents.pt --generator ffhq.safetensors --out codes.parquet", name="import-codes")
def import_codes(
    *,
    file: Annotated[Path, typer.Argument(help="A file of codes (.pt, .npy, .npz), or BDInvert's folder.")],
    out: Annotated[Path, typer.Option(help="The table of codes to write."), Writes("file")],
    space: Annotated[str | None, typer.Option(help="Such as w, wplus or z; decided by shape if not given.")] = None,
    names: Annotated[
        Path | None, typer.Option(help="A text file with the images' names, a line each, in the file's order."), Reads()
    ] = None,
    method: Annotated[str, typer.Option(help="What the table calls the method.")] = "imported",
    options: GeneratorOptions,
) -> None:
    """Make a table of codes of another tool's file, for --codes. Nothing in the file is executed."""
    from ganvert.compute.device import resolve_device
    from ganvert.exchange.import_codes import import_codes as write

    if not file.exists():
        raise InputError(f"FILE: {file}: there is no such file")
    lines = names.read_text(encoding="utf-8").splitlines() if names else None
    generator = load(options, resolve_device(options.device))
    count, where = write(file, generator, out, space=space, names=lines, method=method)
    print(f"{out}: {count} codes in {where}")  # noqa: T201


@command("ganvert export-codes codes.parquet --as e4e --out latents.pt", name="export-codes")
def export_codes(
    *,
    file: Annotated[Path, typer.Argument(help="A table of codes."), Reads()],
    kind: Annotated[str, typer.Option("--as", help="e4e, npy, npz, webdataset or huggingface.")],
    out: Annotated[Path, typer.Option(help="The file to write; npz and huggingface make a new folder.")],
    options: GeneratorOptions,
) -> None:
    """Write a table of codes as a file that other tools read."""
    from ganvert.base.registry import lookup
    from ganvert.cli.paths import check_files
    from ganvert.compute.device import resolve_device
    from ganvert.exchange.codes_to import CODE_EXPORTS
    from ganvert.exchange.codes_to import export_codes as write

    lookup(CODE_EXPORTS, kind, "kind of export")
    check_files([file], "FILE", out)
    count = write(file, load(options, resolve_device(options.device)), kind, out)
    print(f"{out}: {count} codes, {CODE_EXPORTS[kind].description}")  # noqa: T201


@command(
    "ganvert directions import age.pt --name age --space w --out directions.parquet",
    "ganvert directions import boundary.npy --name pose --space z --unit own --out directions.parquet",
    name="import",
    group=directions,
)
def import_directions(
    *,
    file: Annotated[Path, typer.Argument(help="A file of directions (.pt, .npy, .npz, .pkl)."), Reads()],
    out: Annotated[Path, typer.Option(help="The table to add them to, made if it is not there."), Writes("file")],
    name: Annotated[str | None, typer.Option(help="What it is called; the file's name if not given.")] = None,
    space: Annotated[str | None, typer.Option(help="z or w, where the file does not say.")] = None,
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

    step = _unit(unit)
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
    kind: Annotated[str, typer.Option("--as", help="npy (InterFaceGAN) or pt (e4e, BDInvert).")],
    out: Annotated[Path, typer.Option(help="The file to write."), Writes("file")],
    space: Annotated[str, typer.Option(help="z or w.")] = "w",
    table: Annotated[
        Path | None, typer.Option("--directions", help="Table of directions; the shipped one if not given."), Reads()
    ] = None,
    options: GeneratorOptions,
) -> None:
    """Write a direction as a file that other tools read: their factor 1 is amount 1."""
    from ganvert.assets.shipped import shipped
    from ganvert.compute.device import resolve_device
    from ganvert.directions import choose, load_directions
    from ganvert.exchange.directions_to import export_direction as write

    generator = load(options, resolve_device(options.device))
    direction = choose(load_directions(table or shipped("directions_ffhq.parquet"), generator), name, space)
    write(direction, generator.num_ws, kind, out)
    print(out)  # noqa: T201


def _unit(text: str) -> Any:
    """Return fit, own, or the number that a text is."""
    if text in ("fit", "own"):
        return text
    try:
        return float(text)
    except ValueError as error:
        raise ParamsError(f"--unit: wanted fit, own or a number, got {text!r}") from error


def _rows(text: str) -> tuple[int, int]:
    """Return the range of rows of FIRST:END."""
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal()):
        raise ParamsError(f"--rows: wanted FIRST:END such as 4:8, got {text!r}")
    return cast(tuple[int, int], (int(first), int(end)))
