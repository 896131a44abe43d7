"""`ganvert edit`, `interpolate`, `blend` and `transfer`: pictures of edited codes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from ganvert.base.errors import InputError, ParamsError
from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, cut_faces, load, read_method
from ganvert.cli.options import PARTS_HELP, CodesFile, InversionOptions, PartsOptions, SheetPx

__all__ = ["blend", "edit", "interpolate", "transfer"]

log = logging.getLogger(__name__)


@command("ganvert edit me.jpg --direction smile=2 --direction age=-1 --out smiling.png")
def edit(
    *,
    photo: Annotated[Path, typer.Argument(help="A photograph.")],
    direction: Annotated[list[str], typer.Option(help="NAME=AMOUNT, in standard deviations; may be repeated.")],
    out: Annotated[Path, typer.Option(help="The edited photograph (PNG).")],
    directions: Annotated[Path | None, typer.Option(help="Table of directions; the project's or shipped one.")] = None,
    motion: Annotated[str, typer.Option(help="How Z codes move: retract_once, geodesic or stepped.")] = "retract_once",
    crop: Annotated[bool, typer.Option("--crop", help="Write the edited crop, not the whole photograph.")] = False,
    options: InversionOptions,
) -> None:
    """Edit the largest face of a photograph and put it back."""
    import numpy as np
    from PIL import Image

    from ganvert.assets.shipped import shipped
    from ganvert.base.files import atomic_path
    from ganvert.base.registry import lookup
    from ganvert.codes import codes_of_inversion
    from ganvert.compute.device import resolve_device
    from ganvert.directions import choose, load_directions
    from ganvert.editing.render import PasteOptions, draw_shifts, paste_edit
    from ganvert.faces import RECIPES, open_photo
    from ganvert.images import from_png, to_pil
    from ganvert.inversion.run import Crop, invert_crops, make_context, shipped_encoders
    from ganvert.spaces import make_space
    from ganvert.spaces.sphere import MOTIONS

    if out.suffix.lower() != ".png":
        raise ParamsError(f"--out: wanted a name that ends in .png, got {out}")
    wanted = [_amount(text) for text in direction]
    lookup(MOTIONS, motion, "motion")
    preset, where = read_method(options), resolve_device(options.device)
    lookup(RECIPES, options.recipe, "alignment recipe")
    project = Path("data/directions.parquet")
    source = directions or (project if project.exists() else shipped("directions_ffhq.parquet"))
    log.info("directions of %s", source)
    folder = assets_folder()
    weights = options.encoder or shipped_encoders(preset)
    context = make_context(preset, load(options, where), weights, folder, options.inputs)
    known = load_directions(source, context.generator)
    space = make_space(preset.space, context.generator).direction_space
    moves = [(choose(known, name, space), amount) for name, amount in wanted]
    photo_rows, faces = cut_faces([photo], options.recipe, context.generator.resolution, False, folder)
    if not faces:
        raise InputError(f"{photo}: {photo_rows[0]['reason']}")
    row = faces[0]
    inversion = invert_crops([Crop(row["image_id"], from_png(row["crop"]))], preset, context, seed=options.seed)
    codes = codes_of_inversion(inversion, [row["image_id"]], options.method, context.generator)
    picture: Image.Image = draw_shifts(codes, moves, cast(Any, motion))
    if not crop:
        reconstruction = to_pil(codes.draw())[0]
        quad = np.array(row["quad"]).reshape(4, 2)
        picture = paste_edit(open_photo(photo).image, picture, reconstruction, quad, PasteOptions())
    with atomic_path(out) as temporary:
        picture.save(temporary)
    print(out)  # noqa: T201


@command(
    "ganvert interpolate out/codes.parquet --out between.png",
    "ganvert interpolate a.jpg b.jpg --move own --out padding.png",
)
def interpolate(
    *,
    given: Annotated[list[Path], typer.Argument(help="A table of codes (.parquet) or two photographs.")],
    out: Annotated[Path, typer.Option(help="A strip of pictures (PNG).")],
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

    With --move only a part goes there, the other stays that of the first picture.
    """
    from ganvert.editing.blending import draw_between

    if from_mean and first is not None:
        raise ParamsError("--first: --from-mean starts from no image; --second names the one to end at")
    names, table = [str(path) for path in given], None
    if given[0].suffix == ".parquet":
        if len(given) > 1:
            raise ParamsError(f"wanted one table of codes or photographs, got {', '.join(names)}")
        table, names = given[0], _table_ends(given[0], first, second, from_mean)
    elif first is not None or second is not None:
        raise ParamsError("--first, --second: photographs are taken in their order; the options are for tables")
    if len(names) != 2 - from_mean:
        raise InputError(f"wanted {'one photograph' if from_mean else 'two photographs'}, got {len(names)}")
    codes, at, _ = _codes_of(names, move, table, options)
    pictures = draw_between(codes, None if from_mean else at[0], at[-1], count, move)
    _sheet(out, pictures, count, px, [f"{move} {i / (count - 1):.2f}" for i in range(count)])
    print(out)  # noqa: T201


def _table_ends(path: Path, first: str | None, second: str | None, from_mean: bool) -> list[str]:
    """The ids of the images that an interpolation goes between: those asked for, or the table's first ones."""
    from ganvert import tables

    ids = tables.read(path, "codes").column("image_id").to_pylist()
    wanted = 2 - from_mean
    if len(ids) < wanted:
        raise InputError(f"{path}: wanted codes of {wanted} images at least, got {len(ids)}")
    for option, name in (("--first", first), ("--second", second)):
        if name is not None and name not in ids:
            raise InputError(f"{option}: {path} has no image {name!r}; it has {', '.join(ids[:5])} ...")
    return [second or ids[0]] if from_mean else [first or ids[0], second or ids[1]]


@command("ganvert blend a.jpg b.jpg --out blends")
def blend(
    *,
    given: Annotated[list[str], typer.Argument(help="Photographs; with --codes the image_ids of some.")],
    out: Annotated[Path, typer.Option(help="Folder for sheet.png and the pictures.")],
    codes: CodesFile = None,
    px: SheetPx = 256,
    options: PartsOptions,
) -> None:
    """Blend faces: pose and contour (padding) of each over details and colours (rows of ws) of each other.

    A row of the sheet shares its padding, a column its details; on the diagonal are the reconstructions.
    """
    from ganvert.compute.progress import progress
    from ganvert.editing.blending import draw_swap

    if len(given) < 2:
        raise InputError(f"wanted two photographs at least, got {len(given)}")
    known, at, names = _codes_of(given, "own", codes, options)
    pairs = [(own, detail) for own in range(len(names)) for detail in range(len(names))]
    pictures = [draw_swap(known, at[own], at[detail]) for own, detail in progress(pairs, len(pairs), "drawing")]
    for (own, detail), picture in zip(pairs, pictures, strict=True):
        _sheet(out / f"own-{names[own]}_detail-{names[detail]}.png", [picture])
    captions = [f"own {names[own][:10]}, detail {names[detail][:10]}" for own, detail in pairs]
    _sheet(out / "sheet.png", pictures, len(names), px, captions)
    print(out / "sheet.png")  # noqa: T201


@command("ganvert transfer a.jpg a_glasses.jpg b.jpg --part own --out glasses")
def transfer(
    *,
    before: Annotated[str, typer.Argument(help="A photograph; with --codes its image_id, as for the others.")],
    after: Annotated[str, typer.Argument(help="The same photograph with something changed on it.")],
    targets: Annotated[list[str], typer.Argument(help="Photographs that are to change in the same way.")],
    out: Annotated[Path, typer.Option(help="Folder for sheet.png and the pictures.")],
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

    from ganvert.compute.progress import progress
    from ganvert.editing.blending import draw_transfer
    from ganvert.images import to_pil

    amounts = amount or [1.0]
    known, at, names = _codes_of([before, after, *targets], part, codes, options, same_crop)
    size = known.space.generator.resolution
    blank = [Image.new("RGB", (size, size), "white")] * (len(amounts) - 1)
    pictures = [*(to_pil(known.select(i).draw())[0] for i in at[:2]), *blank]
    captions = [names[0][:24], names[1][:24], *[""] * len(blank)]
    for i in progress(range(2, len(names)), len(targets), "drawing"):
        pictures += to_pil(known.select(at[i]).draw())
        captions.append(names[i][:24])
        for one in amounts:
            pictures.append(draw_transfer(known, at[0], at[1], at[i], part, one))
            captions.append(f"{names[i][:16]} {part} {one:+g}")
            _sheet(out / f"{names[i]}_{part}{one:+g}.png", pictures[-1:])
    _sheet(out / "sheet.png", pictures, len(amounts) + 1, px, captions)
    print(out / "sheet.png")  # noqa: T201


def _codes_of(
    given: list[str], part: str, table: Path | None, options: InversionOptions, same_crop: bool = False
) -> tuple[Any, list[int], list[str]]:
    """Codes of photographs, or of images of a table by their ids.

    Args:
        given: photographs, or ids of images of the table.
        part: what the caller wants of the codes, checked before any work.
        table: the table, or None where photographs are given.
        options: how photographs are inverted.
        same_crop: whether the second photograph is cut where the first one is.

    Returns:
        The codes; for each that is given its place among them, and a name: they differ, and may stand in file names.
    """
    from ganvert.base.registry import lookup
    from ganvert.codes import codes_of_inversion, read_codes
    from ganvert.compute.device import resolve_device
    from ganvert.editing.blending import PARTS, names_of
    from ganvert.faces import RECIPES
    from ganvert.inversion.run import invert_crops, make_context, shipped_encoders
    from ganvert.spaces import make_space

    lookup(PARTS, part, "part")
    lookup(RECIPES, options.recipe, "alignment recipe")
    where = resolve_device(options.device)
    if table is not None:
        if same_crop:
            raise ParamsError("--same-crop: codes of a table are of crops that were made before")
        codes = read_codes(table, load(options, where))
        names_of(codes.space, part)
        missing = [name for name in given if name not in codes.image_ids]
        if missing:
            some = ", ".join(codes.image_ids[:5])
            raise InputError(f"{table} has no image {', '.join(map(repr, missing))}; it has {some} ...")
        return codes, [codes.image_ids.index(name) for name in given], _different(given)
    preset, paths = read_method(options), [Path(name) for name in given]
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: there is no such photograph")
    model = load(options, where)
    names_of(make_space(preset.space, model), part)
    folder = assets_folder()
    context = make_context(preset, model, options.encoder or shipped_encoders(preset), folder, options.inputs)
    crops = _crops_of(paths, options.recipe, model.resolution, folder, same_crop)
    inversion = invert_crops(crops, preset, context, seed=options.seed)
    codes = codes_of_inversion(inversion, [crop.image_id for crop in crops], options.method, model)
    return codes, list(range(len(paths))), _different([path.stem for path in paths])


def _different(names: list[str]) -> list[str]:
    """Names that differ from each other: numbered where they did not."""
    return names if len(set(names)) == len(names) else [f"{i}-{name}" for i, name in enumerate(names, 1)]


def _crops_of(paths: list[Path], recipe: str, resolution: int, folder: Path, same_crop: bool) -> list[Any]:
    """The largest face of every photograph, in the order given; InputError for one that cannot be used."""
    from ganvert.faces import RECIPES, AlignOptions, FaceDetector, align, align_photos, open_photo
    from ganvert.images import from_png
    from ganvert.inversion.run import Crop

    options = AlignOptions(recipe=recipe, resolution=resolution)
    detector = FaceDetector(folder) if RECIPES[recipe].needs_face else None
    crops: list[Crop] = []
    landmarks: Any = None
    for i, path in enumerate(paths):
        if same_crop and i == 1:
            photo, like = open_photo(path), open_photo(paths[0])
            if photo.size != like.size:
                raise InputError(
                    f"--same-crop: {path} is {photo.size} px, {paths[0]} {like.size}: not the same picture"
                )
            crops.append(Crop(f"{photo.photo_id[:16]}-0", align(photo.image, landmarks, resolution, recipe).crop))
            continue
        rows, faces = align_photos([path], Path(), options, detector)
        if not faces:
            raise InputError(f"{path}: {rows[0]['reason']}")
        if i == 0:
            landmarks = faces[0]["landmarks"]
        crops.append(Crop(faces[0]["image_id"], from_png(faces[0]["crop"])))
    return crops


def _sheet(
    path: Path, pictures: list[Any], columns: int = 1, px: int | None = None, captions: list[str] | None = None
) -> None:
    """Write pictures as a sheet, or a single one as it is."""
    from ganvert.base.files import atomic_path
    from ganvert.images import contact_sheet

    image = pictures[0] if px is None else contact_sheet(pictures, columns, px, captions)
    with atomic_path(path) as temporary:
        image.save(temporary, "PNG")


def _amount(text: str) -> tuple[str, float]:
    name, _, amount = text.partition("=")
    try:
        return name, float(amount)
    except ValueError as error:
        raise ParamsError(f"--direction: wanted NAME=AMOUNT such as smile=2, got {text!r}") from error
