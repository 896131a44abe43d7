"""`ganvert fetch`, `methods`, `sample`, `describe` and `import`: weights, presets and generators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, load
from ganvert.cli.options import GeneratorOptions, SheetPx

__all__ = ["describe", "fetch", "import_", "methods", "sample"]


@command("ganvert fetch")
def fetch(photos: Annotated[Path | None, typer.Option(help="Also put the sample photographs here.")] = None) -> None:
    """Fetch the weights (about 220 MB, once)."""
    folder = assets_folder(photos)
    print(f"everything is in {folder}")  # noqa: T201


@command("ganvert methods")
def methods() -> None:
    """List the presets that --method takes."""
    from rich.console import Console
    from rich.table import Column, Table

    from ganvert.base import params
    from ganvert.inversion.methods.chain import ChainOptions
    from ganvert.inversion.presets import read_preset

    path = params.presets_path()
    names = [Column(title, no_wrap=True) for title in ("method", "space")]
    table = Table(*names, "starts from", "steps", "objective", title=f"presets of {path}")
    for name, raw in params.section(params.load(path), "invert.options").items():
        preset = read_preset(name, raw)
        stages = preset.options.presets() if isinstance(preset.options, ChainOptions) else [preset]
        init = getattr(stages[0].options, "init", "encoder")
        objectives = [_objective(stage) for stage in stages]
        table.add_row(name, preset.space, init, str(preset.steps), ", then ".join(objectives))
    Console().print(table)


def _objective(stage: Any) -> str:
    terms = getattr(stage.options, "objective", ())
    return " + ".join(f"{term.weight:g} {term.loss}@{term.resolution or 'full'}" for term in terms) or "one pass"


@command("ganvert sample --count 16 --out faces.png")
def sample(
    *,
    out: Annotated[Path, typer.Option(help="A sheet of pictures (PNG).")],
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 16,
    seed: Annotated[int, typer.Option(help="First seed.")] = 0,
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
    from ganvert.images import contact_sheet, to_pil
    from ganvert.sampling import picture_of

    model = load(options, resolve_device(options.device))
    seeds = range(seed, seed + count)
    pictures = []
    with torch.no_grad():
        for one in progress(seeds, count, "drawing"):
            ws = model.map(normal([one], (model.z_dim,)).to(model.w_avg), psi=psi)
            pictures += to_pil(picture_of(model, ws, min(px, model.resolution)))
    sheet = contact_sheet(pictures, min(count, 8), px, [str(one) for one in seeds])
    with atomic_path(out) as temporary:
        sheet.save(temporary, "PNG")
    print(out)  # noqa: T201


@command("ganvert describe data/assets/mobile_stylegan.safetensors")
def describe(
    file: Annotated[Path, typer.Argument(help="A checkpoint, an encoder, other weights, or a table.")],
) -> None:
    """Say what a checkpoint, other weights or a table is. Nothing in the file is executed."""
    from ganvert.generators.describe import describe as facts_of

    _print_facts(file, facts_of(file))


@command("ganvert import stylegan2-ffhq.pkl stylegan2-ffhq.safetensors", name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A checkpoint of any known format.")],
    out: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
) -> None:
    """Convert a checkpoint to ganvert's own safetensors format. Nothing in the file is executed."""
    from ganvert.generators.convert import import_generator

    _print_facts(out, import_generator(file, out, force=force))


def _print_facts(file: Path, facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, title=str(file))
    for name, value in facts.items():
        table.add_row(name, str(value))
    Console().print(table)
