"""`ganvert interpolate`, `mix`, `blend` and `transfer`: what is done with the codes of several photographs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvert.base.errors import InputError, ParamsError
from ganvert.cli.app import command
from ganvert.cli.common import check_mask, counted
from ganvert.cli.options import PARTS_HELP, CodesFile, InversionOptions, Local, PartsOptions, SheetPx
from ganvert.cli.paths import Writes, check_files
from ganvert.cli.pictures import check_sheet, write_picture, write_series, write_sheet
from ganvert.cli.sources import calls, chosen, codes_of, mask_of
from ganvert.editing.requests import MOST_CELLS

if TYPE_CHECKING:
    from ganvert.editing.edits.mix import Mix

__all__ = ["blend", "interpolate", "mix", "transfer"]


@command(
    "ganvert interpolate out/codes.parquet --out between.png",
    "ganvert interpolate a.jpg b.jpg --count 11 --out between.gif",
    "ganvert interpolate a.jpg b.jpg --move own --out padding.png",
)
def interpolate(
    *,
    given: Annotated[list[Path], typer.Argument(help="A table of codes (.parquet) or two photographs.")],
    out: Annotated[
        Path, typer.Option(help="A strip of pictures (.png), or an animation (.gif, .mp4)."), Writes("series")
    ],
    first: Annotated[
        str | None,
        typer.Option(
            help="Image of the table to start from, by id or name of its photograph; if none, its first, or its second "
            "where the way ends at the first."
        ),
    ] = None,
    second: Annotated[
        str | None,
        typer.Option(
            help="Image of the table to end at; if none, its second, or its first where the way starts at the second."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=2, max=MOST_CELLS, help="Pictures, both ends included.")] = 7,
    px: SheetPx = 256,
    move: Annotated[str, typer.Option(help="What moves: " + PARTS_HELP)] = "all",
    from_mean: Annotated[
        bool, typer.Option("--from-mean", help="Start from the mean picture: w_avg, the generator's own padding.")
    ] = False,
    options: PartsOptions,
) -> None:
    """Draw the way from one photograph's code to another's: straight in W, along great circles in Z.

    With --move only that part moves; the other stays that of the first picture.
    """
    from ganvert.editing.contract import EditInputs
    from ganvert.editing.edits.interpolate import Interpolate
    from ganvert.editing.parts import mean_code
    from ganvert.editing.render import draw_edit

    if from_mean and first is not None:
        raise ParamsError("--first: --from-mean starts from no image; --second names the one to end at")
    check_sheet(count, px)
    names, table = [str(path) for path in given], None
    if given[0].suffix == ".parquet":
        if len(given) > 1:
            raise ParamsError(f"wanted one table of codes or photographs, got {', '.join(names)}")
        check_files(given, "GIVEN")
        table, names = given[0], _table_ends(given[0], first, second, from_mean)
    elif first is not None or second is not None:
        raise ParamsError("--first, --second: photographs are taken in their order; the options are for tables")
    if len(names) != 2 - from_mean:
        raise InputError(f"wanted {'one photograph' if from_mean else 'two photographs'}, got {len(names)}")
    if table is None:
        check_files(given, "GIVEN", out)
    towards = Interpolate(part=move)
    codes, _ = codes_of(names, towards, table, options)
    start, end = codes[0], codes[-1]
    if from_mean:
        start = dataclasses.replace(end, image_id="mean", variables=mean_code(end.space), noise=())
    inputs, amounts = EditInputs(code=start, references=[end]), [i / (count - 1) for i in range(count)]
    pictures = [draw_edit(towards, inputs, amount) for amount in amounts]
    write_series(out, pictures, px, [f"{move} {amount:.2f}" for amount in amounts])
    print(out)  # noqa: T201


def _table_ends(path: Path, first: str | None, second: str | None, from_mean: bool) -> list[str]:
    """Return ids of the images that an interpolation goes between: those named, or the table's first other ones."""
    from ganvert import tables
    from ganvert.codes import names_of_images

    ids = tables.read(path, "codes", ["image_id"]).column("image_id").to_pylist()
    wanted = 2 - from_mean
    if len(ids) < wanted:
        raise InputError(
            f"{path}: wanted codes of {wanted} images at least, got {len(ids)}; invert more photographs "
            "together, or name two of them here"
        )
    photographs = names_of_images(path)
    for option, name in (("--first", first), ("--second", second)):
        if name is not None and name not in {*ids, *photographs.values()}:
            raise InputError(f"{option}: {path} has no image {name!r}; it has {calls(ids, photographs)}")
    start, end = (chosen(path, [name])[0] if name is not None else None for name in (first, second))
    if from_mean:
        return [end or ids[0]]
    # An end that is not named is never the one that is: there would be no way to draw.
    start = start or next(image_id for image_id in ids if image_id != end)
    return [start, end or next(image_id for image_id in (ids[1], ids[0]) if image_id != start)]


@command(
    "ganvert mix me.jpg you.jpg --style painting.jpg --style evening.jpg --out mixed",
    "ganvert mix me.jpg --style painting.jpg --rows 8:16 --amount 0.5 --out mixed",
    "ganvert mix me.jpg --style you.jpg --local hair --out dyed",
)
def mix(
    *,
    given: Annotated[list[str], typer.Argument(help="Photographs; with --codes ids or names of images of it.")],
    style: Annotated[list[str], typer.Option(help="A photograph whose style is taken; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Folder for sheet.png and the pictures."), Writes("folder")],
    rows: Annotated[
        str | None,
        typer.Option(
            help="Rows of ws to take, FIRST:END; negative ones count from the end. If not given, the last four; with "
            "--local those from 6 on."
        ),
    ] = None,
    amount: Annotated[float, typer.Option(help="1 takes the whole style, 0.5 half of it.")] = 1.0,
    local: Local = None,
    codes: CodesFile = None,
    px: SheetPx = 256,
    options: InversionOptions,
) -> None:
    """Mix styles: late rows of ws, and so colours and light, of some photographs under the shapes of others.

    A row of the sheet shares its style, a column its content; styles stand on the left, contents on top. With --local
    the style comes to a part of the contents alone, such as their hair.
    """
    from PIL import Image

    from ganvert.base.files import mark_output
    from ganvert.compute.progress import progress
    from ganvert.editing.contract import EditInputs, check_amount
    from ganvert.editing.render import draw_edit
    from ganvert.faces.listing import check_output
    from ganvert.images import to_pil

    mixing, contents = _mix_of(rows, local), len(given)
    if local is not None:
        check_mask("--local", local, options.inputs / local, folders=True)
    check_amount(amount)
    check_sheet((contents + 1) * (len(style) + 1), px)
    check_output(out, () if codes else [*given, *style])
    images, names = codes_of([*given, *style], mixing, codes, options)
    drawn = [to_pil(code.draw())[0] for code in images]
    masks = [
        mask_of(local, picture, code, name, options.inputs) if local else None
        for picture, code, name in zip(drawn[:contents], images[:contents], names[:contents], strict=True)
    ]
    mark_output(out)
    pictures = [Image.new("RGB", drawn[0].size, "white"), *drawn[:contents]]
    captions = ["", *names[:contents]]
    pairs = list(zip(images[contents:], names[contents:], drawn[contents:], strict=True))
    for code, name, picture in progress(pairs, len(pairs), "drawing"):
        pictures.append(picture)
        captions.append(f"style {name}")
        for content, content_name, mask in zip(images[:contents], names[:contents], masks, strict=True):
            pictures.append(draw_edit(mixing, EditInputs(code=content, references=[code], mask=mask), amount))
            captions.append(f"{content_name}\nstyle {name}")
            write_picture(out / f"{content_name}_style-{name}.png", pictures[-1])
    write_sheet(out / "sheet.png", pictures, contents + 1, px, captions)
    print(f"sheet.png and {counted(contents * len(pairs), 'picture')} are in {out}")  # noqa: T201


def _mix_of(rows: str | None, local: str | None) -> Mix:
    """Return the mix of the rows FIRST:END, or its own, within a mask where one is named; END may be left out."""
    from ganvert.editing.edits.local import LocalMix
    from ganvert.editing.edits.mix import Mix

    kind = Mix if local is None else LocalMix
    if rows is None:
        return kind()
    if not (match := re.fullmatch(r"(-?[0-9]{1,4}):(-?[0-9]{1,4})?", rows)):
        raise ParamsError(f"--rows: wanted FIRST:END such as 12:16, or FIRST: for all that follow, got {rows!r}")
    return kind(first_row=int(match[1]), last_row=int(match[2]) if match[2] else None)


@command("ganvert blend a.jpg b.jpg --out blends")
def blend(
    *,
    given: Annotated[list[str], typer.Argument(help="Photographs; with --codes ids or names of images of it.")],
    out: Annotated[Path, typer.Option(help="Folder for sheet.png and the pictures."), Writes("folder")],
    codes: CodesFile = None,
    px: SheetPx = 256,
    options: PartsOptions,
) -> None:
    """Blend faces: pose and contour (padding) of each over details and colours (rows of ws) of each other.

    A row of the sheet shares its padding, a column its details; on the diagonal are the reconstructions.
    """
    from ganvert.base.files import mark_output
    from ganvert.compute.progress import progress
    from ganvert.editing.contract import EditInputs
    from ganvert.editing.edits import EDITS
    from ganvert.editing.render import draw_edit
    from ganvert.faces.listing import check_output

    if len(given) < 2:
        raise InputError(f"wanted two photographs at least, got {len(given)}")
    check_sheet(len(given) ** 2, px)
    check_output(out, () if codes else given)
    blending = EDITS["blend"]
    images, names = codes_of(given, blending, codes, options)
    pairs = [(own, detail) for own in range(len(names)) for detail in range(len(names))]
    pictures = [
        # An image under its own details is its reconstruction, with its own noise: nothing is blended.
        draw_edit(blending, EditInputs(code=images[own], references=[images[detail]]), float(own != detail))
        for own, detail in progress(pairs, len(pairs), "drawing")
    ]
    mark_output(out)
    for (own, detail), picture in zip(pairs, pictures, strict=True):
        write_picture(out / f"own-{names[own]}_detail-{names[detail]}.png", picture)
    captions = [f"own {names[own]}\ndetail {names[detail]}" for own, detail in pairs]
    write_sheet(out / "sheet.png", pictures, len(names), px, captions)
    print(f"sheet.png and {len(pairs)} pictures are in {out}")  # noqa: T201


@command("ganvert transfer a.jpg a_glasses.jpg b.jpg --part own --out glasses")
def transfer(
    *,
    before: Annotated[str, typer.Argument(help="A photograph; with --codes its id or name there, as for the others.")],
    after: Annotated[str, typer.Argument(help="The same photograph with something changed on it.")],
    targets: Annotated[list[str], typer.Argument(help="Photographs that are to change in the same way.")],
    out: Annotated[Path, typer.Option(help="Folder for sheet.png and the pictures."), Writes("folder")],
    part: Annotated[
        str,
        typer.Option(help="What follows (own for glasses or bangs, detail for colours or a smile): " + PARTS_HELP),
    ] = "own",
    amount: Annotated[
        list[float] | None, typer.Option(help="1, the default, is the pair's change. May be repeated.")
    ] = None,
    same_crop: Annotated[
        bool, typer.Option("--same-crop", help="Cut AFTER where BEFORE is cut: it was painted on, not taken anew.")
    ] = False,
    codes: CodesFile = None,
    px: SheetPx = 256,
    options: PartsOptions,
) -> None:
    """Edit photographs by one pair: what changed from BEFORE to AFTER changes on TARGETS.

    On the sheet the pair comes first, then a row for every target: its reconstruction and every amount.
    """
    from PIL import Image

    from ganvert.base.files import mark_output
    from ganvert.compute.progress import progress
    from ganvert.editing.contract import EditInputs, check_amount
    from ganvert.editing.edits.transfer import Transfer
    from ganvert.editing.render import draw_edit
    from ganvert.faces.listing import check_output
    from ganvert.images import to_pil

    follow, amounts = Transfer(part=part), amount or [1.0]
    for number in amounts:
        check_amount(number)
    if len(set(amounts)) < len(amounts):
        raise ParamsError(f"--amount: wanted different amounts, got {', '.join(f'{number:g}' for number in amounts)}")
    check_sheet((len(amounts) + 1) * (len(targets) + 1), px)
    check_output(out, () if codes else [before, after, *targets])
    images, names = codes_of([before, after, *targets], follow, codes, options, same_crop)
    pair = images[:2]
    mark_output(out)
    pictures, captions = [to_pil(code.draw())[0] for code in pair], names[:2]
    for _ in amounts[1:]:  # the pair's row is as wide as the others
        pictures.append(Image.new("RGB", pictures[0].size, "white"))
        captions.append("")
    for code, name in progress(zip(images[2:], names[2:], strict=True), len(targets), "drawing"):
        pictures += to_pil(code.draw())
        captions.append(name)
        for number in amounts:
            pictures.append(draw_edit(follow, EditInputs(code=code, references=pair), number))
            captions.append(f"{name}\n{part} {number:+g}")
            write_picture(out / f"{name}_{part}{number:+g}.png", pictures[-1])
    write_sheet(out / "sheet.png", pictures, len(amounts) + 1, px, captions)
    print(f"sheet.png and {counted(len(targets) * len(amounts), 'picture')} are in {out}")  # noqa: T201
