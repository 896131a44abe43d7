"""`ganvert edit`, `interpolate`, `blend` and `transfer`: pictures of edited codes."""

from __future__ import annotations

import dataclasses
import logging
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ganvert.base.errors import InputError, ParamsError
from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, cut_faces, directions_path, load, read_method
from ganvert.cli.options import PARTS_HELP, CodesFile, DirectionsFile, InversionOptions, PartsOptions, SheetPx
from ganvert.cli.paths import Writes, check_files

if TYPE_CHECKING:  # the commands import what they use, so that `ganvert --help` does not wait for torch
    from PIL import Image

    from ganvert.codes import Code
    from ganvert.editing.contract import Edit
    from ganvert.editing.fit import Fit
    from ganvert.inversion.run import Crop

__all__ = ["blend", "edit", "interpolate", "transfer"]

log = logging.getLogger(__name__)


@command("ganvert edit me.jpg --direction smile=2 --direction age=-1 --out smiling.png")
def edit(
    *,
    photo: Annotated[Path, typer.Argument(help="A photograph.")],
    direction: Annotated[
        list[str],
        typer.Option(
            help="NAME=AMOUNT, in standard deviations; may be repeated. `ganvert directions` lists the names."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The edited photograph (PNG)."), Writes("png")],
    directions: DirectionsFile = None,
    motion: Annotated[str, typer.Option(help="How Z codes move: retract_once, geodesic or stepped.")] = "retract_once",
    crop: Annotated[bool, typer.Option("--crop", help="Write the edited crop, not the whole photograph.")] = False,
    options: InversionOptions,
) -> None:
    """Edit the largest face of a photograph and put it back."""
    from ganvert.base.registry import lookup
    from ganvert.codes import codes_of_inversion
    from ganvert.compute.device import resolve_device
    from ganvert.directions import choose, load_directions
    from ganvert.editing.contract import EditInputs
    from ganvert.editing.edits.shift import Shift
    from ganvert.editing.render import draw_edit
    from ganvert.faces import RECIPES
    from ganvert.images import from_png
    from ganvert.inversion.run import Crop, invert_crops, make_context, shipped_encoders
    from ganvert.spaces import make_space

    amounts = [_amount(text) for text in direction]
    shift = Shift(motion=cast(Any, motion))
    preset, device = read_method(options), resolve_device(options.device)
    lookup(RECIPES, options.recipe, "alignment recipe")
    table = directions_path(directions)
    log.info("directions of %s", table)
    folder, encoders = assets_folder(), options.encoder or shipped_encoders(preset)
    context = make_context(preset, load(options, device), encoders, folder, options.inputs)
    known = load_directions(table, context.generator)
    space = make_space(preset.space, context.generator).direction_space
    moves = [(choose(known, name, space), amount) for name, amount in amounts]
    check_files([photo], "PHOTO", out)
    photo_rows, faces = cut_faces([photo], options.recipe, context.generator.resolution, False, folder)
    if not faces:
        raise InputError(photo_rows[0]["reason"])
    face = faces[0]
    inversion = invert_crops([Crop(face["image_id"], from_png(face["crop"]))], preset, context, seed=options.seed)
    (code,) = codes_of_inversion(inversion, [face["image_id"]], options.method, context.generator)
    picture = draw_edit(shift, EditInputs(code=code, directions=moves), 1.0)
    _write(out, picture if crop else _pasted(photo, face, picture, code))
    if not crop and (warning := _fit(face, code, options.recipe, folder).warning):
        print(f"{photo}: {warning}", file=sys.stderr)  # noqa: T201
    print(out)  # noqa: T201


def _fit(face: dict[str, Any], code: Code, recipe: str, folder: Path) -> Fit:
    """Return how well the code of a face draws it; identity only where crops are aligned faces."""
    from ganvert.editing.fit import Fit, seam_error
    from ganvert.editing.paste import PasteOptions
    from ganvert.faces import RECIPES
    from ganvert.images import from_pil, from_png, to_pil
    from ganvert.scoring.score import asset_metrics

    crop, (reconstruction,) = from_png(face["crop"]), to_pil(code.draw())
    seam, identity = seam_error(crop, reconstruction, PasteOptions().feather), math.nan
    if RECIPES[recipe].needs_face:
        (metric,) = asset_metrics(["identity_dlib"], folder)
        identity = float(metric(from_pil([reconstruction]), from_pil([crop]))[0])
    return Fit(seam, identity if math.isfinite(identity) else None)


def _pasted(photo: Path, face: dict[str, Any], picture: Image.Image, code: Code) -> Image.Image:
    """Return the photograph with the edited picture of one of its faces in it."""
    import numpy as np

    from ganvert.editing.paste import PasteOptions, paste_edit
    from ganvert.faces import open_photo
    from ganvert.images import to_pil

    quad = np.array(face["quad"]).reshape(4, 2)
    return paste_edit(open_photo(photo), picture, to_pil(code.draw())[0], quad, PasteOptions())


@command(
    "ganvert interpolate out/codes.parquet --out between.png",
    "ganvert interpolate a.jpg b.jpg --move own --out padding.png",
)
def interpolate(
    *,
    given: Annotated[list[Path], typer.Argument(help="A table of codes (.parquet) or two photographs.")],
    out: Annotated[Path, typer.Option(help="A strip of pictures (PNG)."), Writes("png")],
    first: Annotated[str | None, typer.Option(help="image_id to start from; the table's first if not given.")] = None,
    second: Annotated[str | None, typer.Option(help="image_id to end at; the table's second if not given.")] = None,
    count: Annotated[int, typer.Option(min=2, help="Pictures, both ends included.")] = 7,
    px: Annotated[int, typer.Option(min=16, help="Side of a picture on the strip.")] = 256,
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
    codes, _ = _codes_of(names, towards, table, options)
    start, end = codes[0], codes[-1]
    if from_mean:
        start = dataclasses.replace(end, image_id="mean", variables=mean_code(end.space), noise=())
    inputs, amounts = EditInputs(code=start, references=[end]), [i / (count - 1) for i in range(count)]
    pictures = [draw_edit(towards, inputs, amount) for amount in amounts]
    _write_sheet(out, pictures, count, px, [f"{move} {amount:.2f}" for amount in amounts])
    print(out)  # noqa: T201


def _table_ends(path: Path, first: str | None, second: str | None, from_mean: bool) -> list[str]:
    """Return the ids of the images that an interpolation goes between: those named, or the table's first ones."""
    from ganvert import tables

    ids = tables.read(path, "codes", ["image_id"]).column("image_id").to_pylist()
    wanted = 2 - from_mean
    if len(ids) < wanted:
        raise InputError(
            f"{path}: wanted codes of {wanted} images at least, got {len(ids)}; invert more photographs "
            "together, or name two of them here"
        )
    for option, name in (("--first", first), ("--second", second)):
        if name is not None and name not in ids:
            raise InputError(f"{option}: {path} has no image {name!r}; it has {', '.join(ids[:5])} ...")
    return [second or ids[0]] if from_mean else [first or ids[0], second or ids[1]]


@command("ganvert blend a.jpg b.jpg --out blends")
def blend(
    *,
    given: Annotated[list[str], typer.Argument(help="Photographs; with --codes the image_ids of some.")],
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
    check_output(out, () if codes else given)
    blending = EDITS["blend"]
    images, names = _codes_of(given, blending, codes, options)
    pairs = [(own, detail) for own in range(len(names)) for detail in range(len(names))]
    pictures = [
        # An image under its own details is its reconstruction, with its own noise: nothing is blended.
        draw_edit(blending, EditInputs(code=images[own], references=[images[detail]]), float(own != detail))
        for own, detail in progress(pairs, len(pairs), "drawing")
    ]
    mark_output(out)
    for (own, detail), picture in zip(pairs, pictures, strict=True):
        _write(out / f"own-{names[own]}_detail-{names[detail]}.png", picture)
    captions = [f"own {names[own]}\ndetail {names[detail]}" for own, detail in pairs]
    _write_sheet(out / "sheet.png", pictures, len(names), px, captions)
    print(f"sheet.png and {len(pairs)} pictures are in {out}")  # noqa: T201


@command("ganvert transfer a.jpg a_glasses.jpg b.jpg --part own --out glasses")
def transfer(
    *,
    before: Annotated[str, typer.Argument(help="A photograph; with --codes its image_id, as for the others.")],
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
    check_output(out, () if codes else [before, after, *targets])
    images, names = _codes_of([before, after, *targets], follow, codes, options, same_crop)
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
            _write(out / f"{name}_{part}{number:+g}.png", pictures[-1])
    _write_sheet(out / "sheet.png", pictures, len(amounts) + 1, px, captions)
    print(f"sheet.png and {len(targets) * len(amounts)} pictures are in {out}")  # noqa: T201


def _codes_of(
    given: list[str], edit: Edit, table: Path | None, options: InversionOptions, same_crop: bool = False
) -> tuple[list[Code], list[str]]:
    """Return codes of photographs, or of images of a table by their ids.

    Args:
        given: photographs, or ids of images of the table.
        edit: what is done with the codes; codes that it cannot change are refused before any work.
        table: the table, or None where photographs are given.
        options: how photographs are inverted.
        same_crop: whether the second photograph is cut where the first one is.

    Returns:
        A code for each that is given, and a name for each (:func:`ganvert.base.files.file_names`).
    """
    from ganvert.base.files import file_names
    from ganvert.base.registry import lookup
    from ganvert.codes import codes_of_inversion, read_codes, space_of
    from ganvert.compute.device import resolve_device
    from ganvert.faces import RECIPES
    from ganvert.inversion.run import invert_crops, make_context, shipped_encoders
    from ganvert.spaces import make_space

    lookup(RECIPES, options.recipe, "alignment recipe")
    device = resolve_device(options.device)
    if table is not None:
        if same_crop:
            raise ParamsError("--same-crop: codes of a table are of crops that were made before")
        generator = load(options, device)
        edit.check_space(space_of(table, generator), [])
        return list(read_codes(table, generator, image_ids=given)), file_names(given)
    preset, paths = read_method(options), [Path(name) for name in given]
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: there is no such photograph")
    generator = load(options, device)
    edit.check_space(make_space(preset.space, generator), [])
    folder = assets_folder()
    context = make_context(preset, generator, options.encoder or shipped_encoders(preset), folder, options.inputs)
    crops = _crops_of(paths, options.recipe, generator.resolution, folder, same_crop)
    inversion = invert_crops(crops, preset, context, seed=options.seed)
    codes = codes_of_inversion(inversion, [crop.image_id for crop in crops], options.method, generator)
    return list(codes), file_names(path.stem for path in paths)


def _crops_of(paths: list[Path], recipe: str, resolution: int, folder: Path, same_crop: bool) -> list[Crop]:
    """Return the largest face of every photograph, in the order given; InputError for one that cannot be used."""
    from ganvert.faces import RECIPES, AlignOptions, FaceDetector, align, align_photos, open_photo
    from ganvert.images import from_png
    from ganvert.inversion.run import Crop

    options = AlignOptions(recipe=recipe, resolution=resolution)
    detector = FaceDetector(folder) if RECIPES[recipe].needs_face else None
    crops: list[Crop] = []
    landmarks: Any = None
    for i, path in enumerate(paths):
        if same_crop and i == 1:
            photo, first = open_photo(path), open_photo(paths[0])
            if photo.size != first.size:
                raise InputError(
                    f"--same-crop: {path} is {photo.size} px, {paths[0]} {first.size}: not the same picture"
                )
            crops.append(Crop(f"{photo.photo_id[:16]}-0", align(photo.image, landmarks, resolution, recipe).crop))
            continue
        rows, faces = align_photos([path], Path(), options, detector)
        if not faces:
            raise InputError(rows[0]["reason"])
        if i == 0:
            landmarks = faces[0]["landmarks"]
        crops.append(Crop(faces[0]["image_id"], from_png(faces[0]["crop"])))
    return crops


def _write(path: Path, picture: Image.Image) -> None:
    """Write a picture as PNG, whole or not at all."""
    from ganvert.base.files import atomic_path
    from ganvert.images import to_png

    with atomic_path(path) as temporary:
        temporary.write_bytes(to_png(picture))


def _write_sheet(path: Path, pictures: list[Image.Image], columns: int, px: int, captions: list[str]) -> None:
    """Write pictures of `px` a side in rows of `columns`, with captions."""
    from ganvert.images import contact_sheet

    _write(path, contact_sheet(pictures, columns, px, captions))


def _amount(text: str) -> tuple[str, float]:
    """Return name and amount of NAME=AMOUNT."""
    name, _, amount = text.partition("=")
    try:
        number = float(amount)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ParamsError(f"--direction: wanted NAME=AMOUNT such as smile=2, got {text!r}")
    return name, number
