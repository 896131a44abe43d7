"""Options that several commands share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "PARTS_HELP",
    "CodesFile",
    "Device",
    "ExtractOptions",
    "Faces",
    "GeneratorOptions",
    "InversionOptions",
    "PartsOptions",
    "SheetPx",
]

CodesFile = Annotated[Path | None, typer.Option(help="Table of codes to take images from, not photographs.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Faces = Annotated[bool, typer.Option("--all-faces", help="Every face of a photograph, not the largest alone.")]
SheetPx = Annotated[int, typer.Option(min=16, help="Side of a picture on the sheet.")]
#: The end of the help of options that name a part of a code.
PARTS_HELP = "all, own (padding or feature map) or detail (rows of ws)."


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """Which generator, and where it computes."""

    generator: Annotated[Path | None, typer.Option(help="Generator, any checkpoint; the FFHQ one if not given.")] = None
    label: Annotated[int | None, typer.Option(help="Class that a conditional generator draws.")] = None
    device: Device = "auto"


@dataclasses.dataclass(frozen=True, kw_only=True)
class InversionOptions(GeneratorOptions):
    """How photographs are cut and inverted."""

    method: Annotated[str, typer.Option(help="Preset; `ganvert methods` lists them.")] = "encoder_wplus"
    encoder: Annotated[
        list[Path] | None,
        typer.Option(
            help="Encoder (safetensors); the shipped one if not given. May be repeated: each predicts its part."
        ),
    ] = None
    recipe: Annotated[
        str, typer.Option(help="How photographs are cut: ffhq, celebahq, or center (no face needed).")
    ] = "ffhq"
    steps: Annotated[int | None, typer.Option(min=1, help="Optimisation steps instead of the preset's.")] = None
    no_preview: Annotated[
        bool, typer.Option("--no-preview", help="Every step sees the full picture (StyleGAN3 has no cheap stand-in).")
    ] = False
    inputs: Annotated[Path, typer.Option(help="Folder of the masks and pictures a method names.")] = Path("data/inputs")
    seed: Annotated[int, typer.Option(help="Seed of the run; every image has its own, made of it.")] = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartsOptions(InversionOptions):
    """How photographs are inverted to codes with two parts."""

    method: Annotated[str, typer.Option(help="Preset that photographs are inverted with: one of padding codes.")] = (
        "padinv"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtractOptions(InversionOptions):
    """How many photographs are inverted at once: by an encoder, unless another method is named."""

    method: Annotated[str, typer.Option(help="Preset; `ganvert methods` lists them.")] = "encoder"
