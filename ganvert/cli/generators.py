"""`ganvert fetch`, `methods`, `sample`, `describe` and `import`: weights, presets and generators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvert.base.errors import ParamsError
from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, load
from ganvert.cli.options import GeneratorOptions, SheetPx
from ganvert.cli.paths import Reads, Writes
from ganvert.cli.pictures import check_sheet

if TYPE_CHECKING:
    from ganvert.base.preset_files import ResolvedPreset

__all__ = ["describe", "fetch", "import_", "methods", "sample"]

_MOST_PSI = 100.0  # far beyond every picture


@command("ganvert fetch", "ganvert fetch --also stylizer")
def fetch(
    photos: Annotated[Path | None, typer.Option(help="Also put the sample photographs here."), Writes("folder")] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="Also fetch this: stylizer (83 MB), for `ganvert stylise`.")
    ] = None,
) -> None:
    """Fetch the weights (about 280 MB, once)."""
    from ganvert import assets
    from ganvert.base.registry import lookup

    extras = [product for name in also or [] for product in lookup(assets.EXTRAS, name, "extra")]
    folder = assets_folder(photos)
    assets.fetch(folder, photos=None, products=extras)
    print(f"everything is in {folder}")  # noqa: T201


@command("ganvert methods", "ganvert methods wplus", "ganvert methods --encoders", "ganvert methods psp --encoders")
def methods(
    name: Annotated[str | None, typer.Argument(help="Preset to show whole, as YAML; all are listed if none.")] = None,
    encoders: Annotated[
        bool, typer.Option("--encoders", help="Presets that encoders are trained by, not those of --method.")
    ] = False,
) -> None:
    """List the presets that --method takes, or show one with its parents merged in."""
    from ganvert.base.preset_files import ENCODERS, METHODS, Presets

    presets = Presets.of_project(ENCODERS if encoders else METHODS)
    if name is not None:
        print(_whole(presets.resolve(name)), end="")  # noqa: T201
        return
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    names = Column(presets.kind.noun, no_wrap=True)
    table = Table(names, "what it is", title=Text(f"presets of {', '.join(presets.places)}"))
    facts_of = _facts_of_encoder if encoders else _facts_of_method
    for preset in map(presets.resolve, presets):
        table.add_row(Text(preset.name), Text.assemble(preset.description, " ", (f"({facts_of(preset)})", "dim")))
    Console().print(table)


def _whole(preset: ResolvedPreset) -> str:
    """Return a preset as the text of a file: where it comes from, its description and its options."""
    sources = "".join(f"# {source}\n" for source in preset.sources)
    return f"{sources}description: {json.dumps(preset.description)}\n{preset.to_yaml()}"


def _facts_of_method(resolved: ResolvedPreset) -> str:
    """Return the space, the start and the steps of a method, for the list."""
    from ganvert.inversion.presets import read_resolved

    preset = read_resolved(resolved)
    start = getattr(preset.stages[0].options, "init", "encoder")
    return f"{preset.space}, from {start}, steps: {preset.steps}"


def _facts_of_encoder(resolved: ResolvedPreset) -> str:
    """Return the space of an encoder's codes and the steps of its training, for the list."""
    from ganvert.base import params
    from ganvert.training import TrainOptions

    options = params.build(TrainOptions, resolved.options, resolved.where)
    return f"{options.encoder.space}, steps: {options.steps}"


@command("ganvert sample --count 16 --out faces.png")
def sample(
    *,
    out: Annotated[Path, typer.Option(help="A sheet of pictures (PNG)."), Writes("png")],
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 16,
    seed: Annotated[int, typer.Option(max=1 << 62, help="First seed.")] = 0,
    psi: Annotated[float, typer.Option(help="Truncation: 1 none, 0 the mean picture.")] = 1.0,
    px: SheetPx = 256,
    options: GeneratorOptions,
) -> None:
    """Draw the generator's own pictures."""
    import torch

    from ganvert.base.files import atomic_path
    from ganvert.compute.device import resolve_device
    from ganvert.compute.progress import progress
    from ganvert.compute.random import normal
    from ganvert.images import contact_sheet, to_pil, to_png
    from ganvert.sampling import picture_of

    if abs(psi) > _MOST_PSI:
        raise ParamsError(f"--psi: wanted a number from -{_MOST_PSI:g} to {_MOST_PSI:g}, got {psi:g}")
    check_sheet(count, px)
    model = load(options, resolve_device(options.device))
    seeds = range(seed, seed + count)
    pictures = []
    with torch.no_grad():
        for one in progress(seeds, count, "drawing"):
            ws = model.map(normal([one], (model.z_dim,)).to(model.w_avg), psi=psi)
            pictures += to_pil(picture_of(model, ws, min(px, model.resolution)))
    sheet = contact_sheet(pictures, min(count, 8), px, [str(one) for one in seeds])
    with atomic_path(out) as temporary:
        temporary.write_bytes(to_png(sheet))
    print(out)  # noqa: T201


@command("ganvert describe data/assets/mobile_stylegan.safetensors")
def describe(
    file: Annotated[Path, typer.Argument(help="A checkpoint, an encoder, other weights, or a table."), Reads()],
) -> None:
    """Describe a checkpoint, other weights or a table. Nothing in the file is executed."""
    from ganvert.generators.describe import describe as facts_of

    _print_facts(file, facts_of(file))


@command(
    "ganvert import stylegan2-ffhq.pkl stylegan2-ffhq.safetensors",
    "ganvert import e4e_ffhq_encode.pt e4e.safetensors",
    "ganvert import 143_enc.pth fse.safetensors --generator stylegan2-ffhq.safetensors",
    name="import",
)
def import_(
    file: Annotated[Path, typer.Argument(help="A checkpoint of any known format, or an encoder of e4e, ..."), Reads()],
    out: Annotated[Path, typer.Argument(help="The safetensors file to write."), Writes("file")],
    generator: Annotated[
        Path | None, typer.Option(help="An encoder's generator, where FILE does not hold it."), Reads()
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--as", help="e4e, psp, restyle_psp or restyle_e4e, where an encoder's file does not say."),
    ] = None,
    feature_px: Annotated[int, typer.Option(min=4, max=64, help="Side of the base code of BDInvert's encoder.")] = 16,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
) -> None:
    """Convert a checkpoint, or an encoder of another tool, to our own format. Nothing in the file is executed.

    The generator in an encoder's file is written beside OUT, as OUT's stem followed by _generator.
    """
    from ganvert.exchange.import_weights import import_weights

    made = import_weights(file, out, generator=generator, kind=kind, feature_px=feature_px, force=force)
    for path, facts in made.items():
        _print_facts(path, facts)
    print(out)  # noqa: T201


def _print_facts(file: Path, facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text, because rich takes [words] in plain strings for styles, and a file may be called [b].
    table = Table(show_header=False, title=Text(str(file)))
    for name, value in facts.items():
        table.add_row(Text(name), Text(str(value), overflow="fold"))  # whole fingerprints, on two lines if need be
    Console().print(table)
