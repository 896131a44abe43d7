"""`ganvert import-codes`, `export-codes` and `export-generator`: codes and generators of other tools."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvert.base.errors import InputError, ParamsError
from ganvert.cli.app import command
from ganvert.cli.common import load
from ganvert.cli.options import GeneratorOptions
from ganvert.cli.paths import Reads, Writes, check_files

if TYPE_CHECKING:
    from ganvert.generators import Generator

__all__ = ["export_codes", "export_generator", "import_codes"]


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
    from ganvert.spaces import check_space

    if file.is_dir():
        if out.absolute().is_relative_to(file.absolute()):
            raise InputError(f"--out: {out} lies in {file}, which is the input; name another place")
    else:
        check_files([file], "FILE", out)
    if not re.fullmatch(r"\w[\w-]{0,99}", method):
        raise ParamsError(f"--method: wanted letters, digits, _ and - (not the first), at most 100, got {method!r}")
    if space is not None:
        check_space(space)
    try:
        lines = names.read_text(encoding="utf-8-sig").splitlines() if names else None
    except UnicodeDecodeError as error:
        raise InputError(f"--names: {names}: wanted text in UTF-8 ({error.reason} at byte {error.start})") from error
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
    from ganvert.base.files import check_writable
    from ganvert.base.registry import lookup
    from ganvert.compute.device import resolve_device
    from ganvert.exchange.codes_to import CODE_EXPORTS
    from ganvert.exchange.codes_to import export_codes as write

    export = lookup(CODE_EXPORTS, kind, "kind of export")
    if export.folder and out.exists():
        raise InputError(f"--out: {out} exists already; name a new folder")
    check_writable(out.absolute().parent if export.folder else out, folder=export.folder, what="--out")
    check_files([file], "FILE", out)
    count = write(file, load(options, resolve_device(options.device)), kind, out)
    print(f"{out}: {count} codes, {export.description}")  # noqa: T201


@command(
    "ganvert export-generator ffhq.safetensors --as nvlabs-safetensors --out ffhq-nvlabs.safetensors",
    "ganvert export-generator ffhq.safetensors --codes out/codes.parquet --image me --as rosinality --out me.pt",
    name="export-generator",
)
def export_generator(
    *,
    file: Annotated[Path, typer.Argument(help="A StyleGAN2 of any known format."), Reads()],
    kind: Annotated[str, typer.Option("--as", help="rosinality or nvlabs-safetensors.")],
    out: Annotated[Path, typer.Option(help="The file to write."), Writes("file")],
    codes: Annotated[Path | None, typer.Option(help="Table of codes with tuned generators."), Reads()] = None,
    image: Annotated[str | None, typer.Option(help="The image whose tuned generator is written.")] = None,
    label: Annotated[int | None, typer.Option(help="Class for a conditional generator.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
) -> None:
    """Write a generator as a file that other tools load, checked by loading it again."""
    from ganvert.exchange.generators_to import check_export
    from ganvert.exchange.generators_to import export_generator as write
    from ganvert.generators import load_generator

    export = check_export(kind, out, force=force)
    if (codes is None) != (image is None):
        raise InputError("--codes and --image name a tuned generator together; one of them is missing")
    generator = load_generator(file, label)
    if codes is not None and image is not None:
        generator = _tuned(codes, image, generator)
    difference, notes = write(generator, kind, out, force=force)
    for note in notes:
        print(f"note: {note}")  # noqa: T201
    print(f"{out}: {export.description}; loaded again, it differs by {difference:.1e}")  # noqa: T201


def _tuned(codes: Path, image: str, generator: Generator) -> Generator:
    """Return the tuned generator of an image, by id or name of its photograph.

    Raises:
        InputError: there is no such image, or its generator is not tuned.
    """
    from ganvert.cli.sources import chosen
    from ganvert.codes import read_codes

    (code,) = read_codes(codes, generator, image_ids=chosen(codes, [image]))
    if code.tuned is None:
        raise InputError(f"{codes}: {image} has no generator of its own; leave out --codes and --image")
    return code.space.generator
