"""`ganvert edit` and `grid`: photographs, or codes that were found before, moved along directions."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from ganvert.base.errors import ParamsError
from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, check_mask, counted, directions_path
from ganvert.cli.options import CodesFile, DirectionsFile, InversionOptions, Local, SheetPx
from ganvert.cli.paths import Writes, is_picture_name
from ganvert.cli.pictures import check_sheet, write_picture, write_series, write_sheet
from ganvert.cli.sources import Source, Sources
from ganvert.editing.amounts import Amount, Percentile, reach
from ganvert.editing.animation import ANIMATIONS
from ganvert.editing.requests import cells_of, label, read_amounts

if TYPE_CHECKING:  # the commands import what they use, so that `ganvert --help` does not wait for torch
    from PIL import Image
    from torch import Tensor

    from ganvert.directions import Direction
    from ganvert.editing.edits.shift import Shift
    from ganvert.editing.paste import PasteOptions
    from ganvert.editing.population import Population
    from ganvert.inversion.contract import Context
    from ganvert.inversion.inverter import Preset

__all__ = ["Moves", "edit", "grid"]

log = logging.getLogger(__name__)

DIRECTION_HELP = (
    "NAME=AMOUNTS in standard deviations: smile=2, smile=-2,0,2 or smile=-2:2:5, five from -2 to 2; smile=p90 goes to "
    "the 90th percentile of samples. May be repeated. smile@4:8=2 moves those rows of ws alone. `ganvert directions` "
    "lists the names."
)
Photos = Annotated[list[Path] | None, typer.Argument(help="Photographs and folders; none with --codes for all of it.")]
ImageIds = Annotated[
    list[str] | None,
    typer.Option("--image", help="Image of --codes, by id or name of its photograph; may be repeated; all if none."),
]
LocalPoint = Annotated[int, typer.Option(help="Side of the feature map from which on --local acts.")]
Realigned = Annotated[
    bool,
    typer.Option("--realign", help="Codes of HFGI: read what the rows lack anew for the edited picture (realign)."),
]
MotionName = Annotated[str, typer.Option(help="How Z codes move: retract_once, geodesic or stepped.")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moves:
    """Every combination of the amounts of some directions.

    Attributes:
        shift: the edit.
        names: of the directions.
        directions: those in the space of the codes.
        cells: an amount for each direction, a cell a picture; amounts of the last direction lie next to each other.
        columns: how many of the cells make a row of a sheet.
        population: the generator's samples.
        mask: returns where an image may change; None for everywhere.
        method: what finds the codes, and works with; for edits that need it.
    """

    shift: Shift
    names: list[str]
    directions: list[Direction]
    cells: list[tuple[Amount, ...]]
    columns: int
    population: Population
    mask: Callable[[Source], Tensor] | None = None
    method: tuple[Preset, Context] | None = None

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        sources: Sources,
        directions: Path | None,
        motion: str,
        local: str | None = None,
        point: int = 32,
        scores: bool = False,
        realign: bool = False,
    ) -> Moves:
        """Return the moves of the --direction options, which are checked against the codes.

        With `scores` the numbers are not amounts but scores that amounts are sought for.

        Raises:
            ParamsError, UnknownNameError, UnsupportedError: wrong amounts, no such direction, or none for these codes.
            InputError: there is no such mask (`local`).
        """
        from ganvert.directions import choose_rows, load_directions
        from ganvert.editing.contract import check_amount
        from ganvert.editing.edits.local import Local
        from ganvert.editing.edits.realign import Realign
        from ganvert.editing.edits.shift import Shift
        from ganvert.editing.population import Population

        if realign and (local is not None or sources.method_at_work is None):
            raise ParamsError("--realign: reads the photograph again; wanted photographs, without --codes and --local")
        series, how = [read_amounts(text) for text in texts], cast(Any, motion)
        shift = Shift(motion=how) if local is None else Local(motion=how, point=point)
        if realign:
            shift = Realign(motion=how)
        for amount in (amount for _, amounts in series for amount in amounts if not scores):
            if not isinstance(amount, Percentile):
                check_amount(amount)
        cells, table = cells_of(series), directions_path(directions)
        log.info("directions of %s", table)
        known, space = load_directions(table, sources.generator), sources.space
        num_ws, population = sources.generator.num_ws, Population(sources.generator)
        chosen = [choose_rows(known, name, space.direction_space, num_ws) for name, _ in series]
        shift.check_space(space, chosen)
        for direction, (name, amounts) in zip(chosen, series, strict=True):
            if any(isinstance(amount, Percentile) for amount in amounts):
                population.check(space, direction)
            if not scores:
                _warn_beyond(name, direction, amounts)
        if local is not None:
            check_mask("--local", local, sources.options.inputs / local, folders=True)
        # Directions with one amount make no row and no column.
        columns = next((len(amounts) for _, amounts in reversed(series) if len(amounts) > 1), 1)
        return cls(
            shift=shift,
            # A colon cannot stand in a file's name everywhere.
            names=[name.replace(":", "-") for name, _ in series],
            directions=chosen,
            cells=cells,
            columns=columns,
            population=population,
            mask=None if local is None else lambda source: source.mask(local, sources.options.inputs),
            method=sources.method_at_work,
        )

    def resolved(self, source: Source, cell: tuple[Amount, ...]) -> tuple[float, ...]:
        """Return the amounts of a cell in standard deviations, which percentiles are not the same of every image."""
        pairs = zip(cell, self.directions, strict=True)
        return tuple(self.population.amount(amount, direction, source.code) for amount, direction in pairs)

    def draw(self, source: Source, cell: tuple[Amount, ...]) -> Image.Image:
        """Return the image with the amounts of a cell.

        Raises:
            NoRegionError: the image does not show what alone may change.
        """
        from ganvert.editing.contract import EditInputs
        from ganvert.editing.render import draw_edit

        moves = list(zip(self.directions, self.resolved(source, cell), strict=True))
        mask = None if self.mask is None else self.mask(source)
        inputs = EditInputs(code=source.code, directions=moves, mask=mask)
        if self.shift.needs.context and self.method is not None:
            preset, context = self.method
            inputs = dataclasses.replace(inputs, picture=source.crop, preset=preset, context=context)
        return draw_edit(self.shift, inputs, 1.0)

    def label(self, cell: tuple[Amount, ...], between: str = "_") -> str:
        """Return the name of a cell, such as ``smile+2_age-1``."""
        return label(self.names, cell, between)


def _warn_beyond(name: str, direction: Direction, amounts: Sequence[Amount]) -> None:
    """Warn of amounts for which a direction is hardly good."""
    least, largest = reach(direction)
    far = [f"{amount:g}" for amount in amounts if not isinstance(amount, Percentile) and not least <= amount <= largest]
    if far:
        tested = "it was tested" if direction.tested else "faces usually stay whole"
        between = f"{tested} from {least:g} to {largest:g}"
        log.warning("%s=%s: %s; expect broken faces beyond", name, ",".join(far), between)


@command(
    "ganvert edit me.jpg --direction smile=2 --direction age=-1 --out smiling.png",
    "ganvert edit photos --direction smile=-2:2:5 --out edited",
    "ganvert edit --codes out/codes.parquet --direction age=-2,2 --out edited",
    "ganvert edit me.jpg --direction smile=p90 --local mouth --out smiling.png",
)
def edit(
    *,
    photos: Photos = None,
    direction: Annotated[list[str], typer.Option(help=DIRECTION_HELP)],
    out: Annotated[
        Path,
        typer.Option(
            help="A folder; or for one photograph a picture (.png; several are a strip of faces), .gif or .mp4."
        ),
        Writes("pictures"),
    ],
    codes: CodesFile = None,
    image: ImageIds = None,
    directions: DirectionsFile = None,
    motion: MotionName = "retract_once",
    local: Local = None,
    local_point: LocalPoint = 32,
    realign: Realigned = False,
    region: Annotated[str, typer.Option(help="What is pasted back: square, face or head.")] = "square",
    crop: Annotated[bool, typer.Option("--crop", help="Write the edited crops, not the whole photographs.")] = False,
    px: SheetPx = 256,
    options: InversionOptions,
) -> None:
    """Edit the largest face of photographs and put it back.

    Several directions move together; several amounts give a picture for every combination. With --codes nothing is
    inverted: photographs that are given are looked up in the table, and without any its images are edited as crops.
    """
    from ganvert.base.files import mark_output
    from ganvert.editing.paste import PasteOptions, PasteRegion
    from ganvert.images import to_pil
    from ganvert.scoring.score import asset_metrics

    if region not in (regions := get_args(PasteRegion)):
        raise ParamsError(f"--region: wanted one of {', '.join(regions)}, got {region!r}")
    paste = PasteOptions(region=cast("PasteRegion", region)) if photos and not crop else None
    sources = Sources(photos or [], codes, image or [], options)
    if paste:
        paste.check_assets(assets_folder())
    moves = Moves.of(direction, sources, directions, motion, local, local_point, realign=realign)
    single = is_picture_name(out)
    if len(moves.cells) > 1:
        check_sheet(len(moves.cells) + 2, px)
    sources.check(out, single)
    if not single:
        mark_output(out)
    identity = asset_metrics(["identity_dlib"], assets_folder())[0] if paste and sources.needs_face else None
    written = count = 0
    for source in sources:
        if not sources.shows(source, moves.mask):
            continue
        (reconstruction,) = to_pil(source.code.draw())
        pictures = _drawn(source, reconstruction, moves, paste, None if single else out, px)
        if single:
            _write_single(out, pictures, moves, px)
        elif len(pictures) > 1:
            _write_sheet(out / f"{source.name}_sheet.png", source, reconstruction, pictures, moves, px)
        if paste and (warning := source.fit(reconstruction, identity).warning):
            print(f"{source.face and source.face['path']}: {warning}", file=sys.stderr)  # noqa: T201
        written, count = written + len(pictures), count + 1
    pictures_of = f"{counted(written, 'picture')} of {counted(count, 'photograph')} {'is' if written == 1 else 'are'}"
    if count:
        print(out if single else f"{pictures_of} in {out}")  # noqa: T201
    sources.finish()


def _drawn(
    source: Source, reconstruction: Image.Image, moves: Moves, paste: PasteOptions | None, folder: Path | None, px: int
) -> list[Image.Image]:
    """Draw one photograph's pictures, write them into a folder if one is given, and return what a sheet shows."""
    pictures: list[Image.Image] = []
    for cell in moves.cells:
        picture = moves.draw(source, cell)
        if paste:
            picture = source.pasted(picture, reconstruction, paste)
        if folder:  # one by one: a run that ends early leaves what it has drawn
            write_picture(folder / f"{source.name}_{moves.label(cell)}.png", picture)
        # Of several, whole photographs would fill the memory, and faces in them be too small to compare.
        pictures.append(source.close(picture, px) if paste and len(moves.cells) > 1 else picture)
    return pictures


def _write_single(out: Path, pictures: Sequence[Image.Image], moves: Moves, px: int) -> None:
    """Write one photograph's pictures into one file: the picture itself, a sheet, or an animation."""
    captions = [moves.label(cell, "\n") for cell in moves.cells]
    if out.suffix.lower() in ANIMATIONS:
        write_series(out, pictures, px, captions)
    elif len(pictures) == 1:
        write_picture(out, pictures[0])
    else:
        write_sheet(out, pictures, moves.columns, px, captions)


def _write_sheet(
    path: Path, source: Source, reconstruction: Image.Image, pictures: Sequence[Image.Image], moves: Moves, px: int
) -> None:
    """Write one photograph's sheet: its crop and reconstruction, then every picture; a single row is one strip."""
    from PIL import Image

    lead = [(picture, name) for picture, name in ((source.crop, "photograph"), (reconstruction, "code")) if picture]
    columns = moves.columns
    if columns == len(pictures):
        columns += len(lead)
    else:
        columns = max(columns, len(lead))
        blank = Image.new("RGB", reconstruction.size, "white")
        lead += [(blank, "")] * (columns - len(lead))
    cells = [*lead, *zip(pictures, (moves.label(cell, "\n") for cell in moves.cells), strict=True)]
    write_sheet(path, [picture for picture, _ in cells], columns, px, [caption for _, caption in cells])


@command("ganvert grid me.jpg --direction yaw=-2:2:5 --direction smile=-1:2:4 --out grid.png")
def grid(
    *,
    photos: Photos = None,
    direction: Annotated[list[str], typer.Option(help="Two: of the rows, and of the columns. " + DIRECTION_HELP)],
    out: Annotated[Path, typer.Option(help="The grid (PNG)."), Writes("png")],
    codes: CodesFile = None,
    image: ImageIds = None,
    directions: DirectionsFile = None,
    motion: MotionName = "retract_once",
    px: SheetPx = 256,
    options: InversionOptions,
) -> None:
    """Draw one photograph under two directions: amounts of the first down the rows, of the second along the columns."""
    from ganvert.compute.progress import progress

    if len(direction) != 2:
        raise ParamsError(f"--direction: wanted two, of the rows and of the columns, got {len(direction)}")
    sources = Sources(photos or [], codes, image or [], options)
    moves = Moves.of(direction, sources, directions, motion)
    check_sheet(len(moves.cells), px)
    sources.check(out, single=True)
    for source in sources:
        pictures = [moves.draw(source, cell) for cell in progress(moves.cells, len(moves.cells), "drawing")]
        write_sheet(
            out, pictures, len(read_amounts(direction[1])[1]), px, [moves.label(cell, "\n") for cell in moves.cells]
        )
    sources.finish()
    print(out)  # noqa: T201
