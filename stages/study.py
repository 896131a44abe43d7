"""study: methods compared on the photographs of `study.photos` -> data/study, reports/study.html and its tables.

It does nothing while `study.photos` is empty. Its inversions are those of `invert@METHOD` where both have the same
steps and photographs, and are computed once; flows/study.py maps them over a cluster first.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganvert.base.errors import GanvertError, ParamsError
from ganvert.base.files import atomic_path
from ganvert.compute.device import resolve_device
from ganvert.extraction import Invert, Job
from ganvert.faces import RECIPES
from ganvert.inversion.presets import Preset, read_preset
from ganvert.report.study import write_study
from ganvert.study import Study, plan_cells, run_study
from stages.common import generator_of, resolved_options, stage
from stages.sections import Settings
from stages.settings import load_settings

__all__ = ["WORK", "cells", "finish", "study_of"]

ASSETS = Path("data/assets")
INPUTS = Path("data/inputs")
PRESETS = Path("data/presets/study")
DIRECTIONS = Path("data/directions.parquet")
WORK = Path(".work/extraction")
PIECES = Path(".work/study")
TABLES = Path("data/study")
OUT = Path("reports/study")
PAGE = Path("reports/study/study.html")
log = logging.getLogger("study")
_OFF = "<!DOCTYPE html><title>No study</title><p>study.photos of params.yaml is empty.</p>\n"


def main() -> None:
    """Run the stage."""
    with stage("study") as settings:
        TABLES.mkdir(parents=True, exist_ok=True)
        if not settings.study.photos:
            for path in (PAGE, TABLES / ".keep"):
                with atomic_path(path) as temporary:
                    temporary.write_text(_OFF if path == PAGE else "")
            log.info("study.photos is empty: no study")
            return
        presets = {
            name: read_preset(name, resolved_options(PRESETS / f"{name}.yaml")) for name in settings.study.methods
        }
        page = write_study(run_study(study_of(settings, presets)), OUT)
        log.info("%s: tables are in %s", page, TABLES)


def study_of(settings: Settings, presets: Mapping[str, Preset], **overrides: Any) -> Study:
    """Return the study that params.yaml describes.

    Args:
        settings: with the name of a device that is here.
        presets: its methods by name.
        overrides: fields of :class:`ganvert.study.Study`, such as `threads` and `workers`.
    """
    generator, options = generator_of(settings), settings.align.options()
    faces = RECIPES[options.recipe].needs_face
    return Study(
        **{
            "options": settings.study,
            "inverts": [_invert(settings, preset) for preset in presets.values()],
            "align": dataclasses.replace(options, resolution=options.resolution or generator.resolution),
            "generator": generator,
            "assets": ASSETS,
            "directions": DIRECTIONS if DIRECTIONS.exists() else None,
            "attributes": settings.evaluate.attributes if faces else (),
            "device": settings.device,
            "work": WORK,
            "pieces": PIECES,
            "folder": TABLES,
            **overrides,
        }
    )


def cells(threads: int) -> Iterator[tuple[Job, Path]]:
    """Yield every extraction of the study that params.yaml describes: its job, and the table of its crops.

    Args:
        threads: of a worker.
    """
    yield from plan_cells(_study(threads))


def finish(threads: int) -> Path:
    """Measure what is not measured yet, write tables and page, and return the page; inversions are found finished.

    Args:
        threads: as for :func:`cells`.
    """
    return write_study(run_study(_study(threads)), OUT)


def _study(threads: int) -> Study:
    """Return the study of the current folder's params.yaml; ParamsError where it has none.

    Presets are read where they stand: outside of DVC's pipeline there is no stage that has written them.
    """
    settings = load_settings()
    if not settings.study.photos:
        raise ParamsError("study.photos: wanted at least one folder or photograph, got none")
    settings = dataclasses.replace(settings, device=str(resolve_device(settings.device)))
    presets = {name: settings.invert.preset(name) for name in settings.study.methods}
    return study_of(settings, presets, threads=threads)


def _invert(settings: Settings, preset: Preset) -> Invert | tuple[str, str]:
    """Return how a method inverts, or its name and why it cannot here."""
    try:
        return settings.invert.job(preset, settings.generator, INPUTS)
    except GanvertError as error:
        return preset.name, str(error)


if __name__ == "__main__":
    main()
