"""`ganvert stylise`: photographs as sketch, ink and oil portraits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganvert.base.errors import InputError
from ganvert.cli.app import command
from ganvert.cli.options import Device, SheetPx
from ganvert.cli.paths import Reads, Writes

__all__ = ["STYLES", "stylise"]

STYLES = ("sketch", "ink", "oil")
_FETCH = "ganvert fetch --also stylizer"


@command("ganvert stylise me.jpg --out stylised.png", "ganvert stylise me.jpg you.jpg --style oil --out oil.png")
def stylise(
    *,
    photos: Annotated[list[Path], typer.Argument(help="Photographs, one person each."), Reads()],
    out: Annotated[Path, typer.Option(help="A sheet of pictures (PNG)."), Writes("png")],
    style: Annotated[
        list[str] | None, typer.Option(help="sketch, ink or oil; may be repeated; all if not given.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="How photographs are cropped: ffhq, celebahq, or center.")] = "ffhq",
    px: SheetPx = 256,
    device: Device = "auto",
) -> None:
    """Draw photographs in other styles: one latent of each, by a generator for each style.

    The weights are fetched by `ganvert fetch --also stylizer`.
    """
    from ganvert.assets import path
    from ganvert.base.registry import lookup
    from ganvert.cli.common import assets_folder
    from ganvert.cli.pictures import check_sheet, write_sheet
    from ganvert.cli.sources import crops_of
    from ganvert.compute.device import resolve_device
    from ganvert.encoders import load_encoder
    from ganvert.faces import RECIPES
    from ganvert.generators import load_generator
    from ganvert.images import from_pil, to_pil

    lookup(RECIPES, recipe, "alignment recipe")
    if unknown := [name for name in style or [] if name not in STYLES]:
        raise InputError(f"--style: no style {unknown[0]!r}; there are {', '.join(STYLES)}")
    wanted = list(dict.fromkeys(style or STYLES))
    check_sheet(len(photos) * (len(wanted) + 1), px)
    folder, chosen_device = assets_folder(), resolve_device(device)
    files = {name: path(f"stylizer_{name}.safetensors", folder, _FETCH) for name in STYLES}
    encoder_file = path("stylizer_encoder.safetensors", folder, _FETCH)
    # The encoder belongs to the first generator by its fingerprint; the others share its W.
    first = load_generator(files[STYLES[0]]).to(chosen_device)
    encoder = load_encoder(encoder_file, first)
    crops = [crop.image for crop in crops_of(photos, recipe, first.resolution, folder, same_crop=False)]
    columns = [crops]
    codes = [encoder.encode(from_pil([crop]).to(chosen_device))["ws"] for crop in crops]
    for name in wanted:
        generator = load_generator(files[name]).to(chosen_device)
        columns.append([to_pil(generator.synthesize(ws=ws))[0] for ws in codes])
    names = [photo.stem for photo in photos]
    pictures = [picture for row in zip(*columns, strict=True) for picture in row]
    write_sheet(out, pictures, len(columns), px, [text for name in names for text in (name, *wanted)])
    print(out)  # noqa: T201
