"""Options that several commands share.

A command takes a dataclass of options as one parameter; :func:`ganvert.cli.app.command` makes an option of each field.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ganvert.cli.paths import Reads
from ganvert.cli.pictures import MOST_PX

__all__ = [
    "PARTS_HELP",
    "CodesFile",
    "Device",
    "DirectionsFile",
    "ExtractOptions",
    "EveryFace",
    "GeneratorOptions",
    "Inputs",
    "InversionOptions",
    "Local",
    "PartsOptions",
    "SheetPx",
]

CodesFile = Annotated[
    Path | None, typer.Option(help="Table of codes whose images are used instead of photographs."), Reads()
]
DirectionsFile = Annotated[
    Path | None, typer.Option(help="Table of directions; the project's or the shipped one if not given."), Reads()
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
EveryFace = Annotated[bool, typer.Option("--all-faces", help="Use every face of a photograph, not only the largest.")]
Inputs = Annotated[
    list[Path], typer.Argument(help="Photographs, folders, .zip, .tar, .parquet, lists of paths (.txt, .csv, .jsonl).")
]
Local = Annotated[
    str | None,
    typer.Option(help="Change only this: a part of the face such as mouth, eyes or hair, or a mask in --inputs."),
]
SheetPx = Annotated[int, typer.Option(min=16, max=MOST_PX, help="Side of a picture on the sheet in pixels.")]
#: The end of the help of options that name a part of a code.
PARTS_HELP = "all, own (padding or feature map) or detail (rows of ws)."


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """The generator, and the device it runs on."""

    generator: Annotated[
        Path | None, typer.Option(help="Checkpoint of any known format; the FFHQ generator if not given."), Reads()
    ] = None
    label: Annotated[int | None, typer.Option(help="Class for a conditional generator.")] = None
    device: Device = "auto"


@dataclasses.dataclass(frozen=True, kw_only=True)
class InversionOptions(GeneratorOptions):
    """How photographs are cropped and inverted: `balanced` draws the person soonest, see docs/scale.md."""

    method: Annotated[str, typer.Option(help="Preset; `ganvert methods` lists them.")] = "balanced"
    encoder: Annotated[
        list[Path] | None,
        typer.Option(
            help="Encoder (safetensors); the shipped one if not given. May be repeated: later override earlier ones."
        ),
        Reads(),
    ] = None
    recipe: Annotated[
        str, typer.Option(help="How photographs are cropped: ffhq, celebahq, or center (no face needed).")
    ] = "ffhq"
    steps: Annotated[int | None, typer.Option(min=1, help="Optimisation steps instead of the preset's.")] = None
    no_preview: Annotated[
        bool,
        typer.Option("--no-preview", help="Draw the full picture in every step, not a cheaper preview in early ones."),
    ] = False
    inputs: Annotated[Path, typer.Option(help="Folder of the masks and pictures that a method names.")] = Path(
        "data/inputs"
    )
    seed: Annotated[int, typer.Option(help="Seed of the run; each image's own seed is made of it.")] = 0
    precision: Annotated[
        str,
        typer.Option(
            help="Of optimisations: float32, bfloat16, tf32, or auto: bfloat16 on a CPU fast at it, else float32."
        ),
    ] = "auto"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartsOptions(InversionOptions):
    """How photographs are inverted to codes with two parts, such as a feature map and rows of ws."""

    method: Annotated[str, typer.Option(help="Preset for photographs; its codes must have two parts.")] = (
        "encoder_feature"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtractOptions(InversionOptions):
    """How large numbers of photographs are inverted: by an encoder, unless another method is named."""

    method: Annotated[str, typer.Option(help="Preset; `ganvert methods` lists them.")] = "encoder"
