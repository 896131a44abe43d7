"""`ganvert study`: methods compared on photographs of one's own, as the papers compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganvert.base.errors import GanvertError, ParamsError
from ganvert.cli.app import command
from ganvert.cli.common import assets_folder, directions_path, generator_path, load
from ganvert.cli.options import DirectionsFile, GeneratorOptions, Inputs
from ganvert.cli.paths import Reads, Writes

if TYPE_CHECKING:
    from ganvert.extraction import Invert
    from ganvert.study import StudyOptions

__all__ = ["study"]

_WORK = ".work"  # folder of finished shards and pieces inside OUT
_METHODS = "cpu_z,cpu_zplus,cpu_w,cpu_wplus,cpu_wplus_pn,cpu_fz,cpu_fzplus,cpu_fwplus_pn,encoder,balanced"


@command(
    "ganvert study portraits/ --out study",
    "ganvert study portraits/ --methods cpu_wplus,cpu_fzplus --steps 40 --seeds 1 --out study",
)
def study(
    *,
    photos: Inputs,
    out: Annotated[Path, typer.Option(help="Folder for the page, the tables, CSV and LaTeX."), Writes("folder")],
    methods: Annotated[str, typer.Option(help="Presets with commas between; the first is compared with.")] = _METHODS,
    reference: Annotated[str | None, typer.Option(help="Method that the others are compared with.")] = None,
    sections: Annotated[
        str, typer.Option(help="What is measured, with commas: reconstruction, strength, out_of_range, consistency.")
    ] = "reconstruction",
    options: Annotated[
        Path | None,
        typer.Option(help="YAML file of options, as params.yaml has them under `study`; those given here go first."),
        Reads(),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Most steps of a method, in place of the presets' own.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of methods that start from a random draw.")] = 3,
    recipe: Annotated[str, typer.Option(help="How photographs are cropped: ffhq, celebahq, center.")] = "ffhq",
    directions: DirectionsFile = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that invert side by side.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU cores of a process; all if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    where: GeneratorOptions,
) -> None:
    """Compare methods of inversion on photographs: reconstruction, editing, and what the papers print beside it.

    Run it again to resume: finished inversions and measurements are kept in OUT/.work. A photograph that cannot be
    used, or a method that fails on one, becomes a row with a status, and the page says how many are missing.
    """
    from ganvert.compute.device import resolve_device
    from ganvert.faces import RECIPES, AlignOptions
    from ganvert.faces.listing import check_output
    from ganvert.report.study import write_study
    from ganvert.study import Study, metrics_for, run_study

    check_output(out, photos)
    names = tuple(filter(None, methods.split(",")))
    chosen = tuple(filter(None, sections.split(",")))
    generator = load(where, resolve_device(where.device))
    asked = _options(options, photos, names, reference, chosen, steps, seeds, metrics_for(generator.resolution))
    needs_face = RECIPES[recipe].needs_face if recipe in RECIPES else False
    made = Study(
        options=asked,
        inverts=[_invert(name, where, seed) for name in asked.methods],
        align=AlignOptions(recipe=recipe, resolution=generator.resolution),
        generator=generator,
        assets=assets_folder(),
        directions=directions_path(directions),
        **({} if needs_face else {"attributes": ()}),
        device=where.device,
        threads=threads,
        workers=workers,
        work=out / _WORK / "extraction",
        pieces=out / _WORK / "study",
        folder=out / "tables",
    )
    paths = run_study(made)
    page = write_study(paths, out)
    print(f"{page}: the page; tables are in {out / 'tables'}, CSV and LaTeX in {out}")  # noqa: T201


def _options(
    file: Path | None,
    photos: list[Path],
    methods: tuple[str, ...],
    reference: str | None,
    sections: tuple[str, ...],
    steps: int | None,
    seeds: int,
    metrics: tuple[str, ...],
) -> StudyOptions:
    """Return the options of the command line over those of a file."""
    from ganvert.base import params
    from ganvert.study import StudyOptions

    raw = {} if file is None else params.load(file)
    given = {"photos": list(map(str, photos)), "steps": steps, "reference": reference}
    raw = {"methods": list(methods), "seeds": seeds, "sections": dict.fromkeys(sections), "metrics": metrics, **raw}
    return params.build(StudyOptions, {**raw, **{k: v for k, v in given.items() if v is not None}}, "study")


def _invert(name: str, where: GeneratorOptions, seed: int) -> Invert | tuple[str, str]:
    """Return how a method inverts, or its name and why it cannot here."""
    from ganvert.base.preset_files import METHODS, Presets
    from ganvert.extraction import Invert
    from ganvert.inversion.presets import read_resolved
    from ganvert.inversion.run import shipped_encoders

    preset = read_resolved(Presets.of_project(METHODS).resolve(name))
    try:
        encoders = shipped_encoders(preset)
    except ParamsError:
        raise
    except GanvertError as error:
        return name, str(error)
    return Invert(
        method=name,
        preset=dict(preset.raw),
        generator=str(generator_path(where)),
        label=where.label,
        encoders=tuple(map(str, encoders)),
        inputs="data/inputs",
        seed=seed,
    )
