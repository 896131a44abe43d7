"""`ganvert study`: methods compared on photographs of one's own, as the papers compare them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
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
_METHODS = (
    "cpu_z",
    "cpu_zplus",
    "cpu_w",
    "cpu_wplus",
    "cpu_wplus_pn",
    "cpu_fz",
    "cpu_fzplus",
    "cpu_fwplus_pn",
    "encoder",
    "balanced",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyFlags:
    """What is compared, and how; what is not given comes from the file of options, or else from the defaults."""

    methods: Annotated[
        str | None, typer.Option(help="Presets with commas between; the spaces of the F/Z+ paper if none are given.")
    ] = None
    reference: Annotated[str | None, typer.Option(help="Method that the others are compared with.")] = None
    sections: Annotated[
        str | None,
        typer.Option(
            help="What is measured, with commas between: reconstruction (if none are given), strength, out_of_range, "
            "in_domain, padding, consistency."
        ),
    ] = None
    options: Annotated[
        Path | None,
        typer.Option(help="YAML file of options, as params.yaml has them under `study`; those given here go first."),
        Reads(),
    ] = None
    steps: Annotated[int | None, typer.Option(min=1, help="Most steps of a method, in place of the presets' own.")] = (
        None
    )
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs of methods that start from a random draw; 3 if not given.")
    ] = None

    def read(self, photos: Sequence[Path], resolution: int) -> StudyOptions:
        """Return the options of a study.

        Args:
            photos: of the command line.
            resolution: of the generator, for the usual metrics.
        """
        from ganvert.base import params
        from ganvert.study import StudyOptions, metrics_for

        usual = {"methods": _METHODS, "sections": {"reconstruction": {}}, "metrics": metrics_for(resolution)}
        file = {} if self.options is None else params.load(self.options)
        given = {
            "methods": None if self.methods is None else self.methods.split(","),
            "sections": None if self.sections is None else dict.fromkeys(self.sections.split(",")),
            "steps": self.steps,
            "seeds": self.seeds,
            "reference": self.reference,
        }
        own = {name: value for name, value in given.items() if value is not None}
        return params.build(StudyOptions, {**usual, **file, **own, "photos": list(map(str, photos))}, "study")


@command(
    "ganvert study portraits/ --out study",
    "ganvert study portraits/ --methods cpu_wplus,cpu_fzplus --steps 40 --seeds 1 --out study",
)
def study(
    *,
    photos: Inputs,
    out: Annotated[Path, typer.Option(help="Folder for the page, the tables, CSV and LaTeX."), Writes("folder")],
    asked: StudyFlags,
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
    from ganvert.study import Study, run_study

    check_output(out, photos)
    generator = load(where, resolve_device(where.device))
    options = asked.read(photos, generator.resolution)
    needs_face = RECIPES[recipe].needs_face if recipe in RECIPES else False
    made = Study(
        options=options,
        inverts=[_invert(name, where, seed) for name in options.methods],
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
