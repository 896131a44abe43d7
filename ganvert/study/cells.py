"""The matrix: a cell is a method with a seed, over all crops, and its codes come from the extraction."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ganvert import tables
from ganvert.base.errors import GanvertError, StorageError
from ganvert.extraction import Invert, Job, Keep, Plan, Shard, extract, make_job, plan, run_shard
from ganvert.generators import Generator
from ganvert.inversion.presets import Preset

__all__ = ["Cell", "Inverted", "invert_cell", "make_cells", "shortened"]

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A method with a seed.

    Attributes:
        method: the preset's name.
        seed: 0 and on, added to the run's own.
        invert: what inverts; None where the method cannot run here.
        job: the extraction that finds its codes; None likewise. With seed 0 and the preset's own steps it is that of
            the stage ``invert@METHOD``.
        reason: why the method cannot run; empty where it can.
    """

    method: str
    seed: int
    invert: Invert | None
    job: Job | None
    reason: str = ""

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.method}-{self.seed}"

    @property
    def preset(self) -> Preset:
        """Its preset, as it runs."""
        assert self.invert is not None
        return self.invert.read()


@dataclasses.dataclass(frozen=True)
class Inverted:
    """The codes of a cell.

    Attributes:
        codes: table `codes`; None where no crop could be inverted.
        reconstructions: table `reconstructions`; likewise.
        seconds: image id to core-seconds of its inversion, models loaded before; without images whose shards were
            computed by a version that did not measure.
        failures: image id to the reason why it has no code.
    """

    codes: Path | None
    reconstructions: Path | None
    seconds: Mapping[str, float]
    failures: Mapping[str, str]


def shortened(raw: Mapping[str, Any], steps: int | None) -> dict[str, Any]:
    """Return the options of a preset that takes at most `steps` steps.

    One with more is scaled as a whole: each stage keeps its share of the steps and its share of previews among them,
    at least one step. Options without steps (one pass of an encoder) stay as they are.

    Args:
        raw: as YAML has them, parents merged in.
        steps: the most; None leaves them alone.
    """
    options = copy.deepcopy(dict(raw))
    stages = options.get("stages", [options])
    total = sum(stage.get("steps", 0) for stage in stages)
    if steps is None or total <= steps:
        return options
    for stage in stages:
        if "steps" in stage:
            old, stage["steps"] = stage["steps"], max(math.floor(stage["steps"] * steps / total), 1)
            if "preview_steps" in stage:
                stage["preview_steps"] = math.floor(stage["preview_steps"] * stage["steps"] / old)
    return options


def make_cells(
    inverts: Sequence[Invert | tuple[str, str]],
    *,
    steps: int | None,
    seeds: int,
    assets: Path,
    device: str,
    threads: int | None,
    generator: Generator,
) -> list[Cell]:
    """Return the cells of some methods, in their order.

    Args:
        inverts: the methods; a name with a reason for one that has been found not to run here.
        steps: see :func:`shortened`.
        seeds: of methods that start from a random draw; the others have one.
        assets: folder of the models.
        device: see :class:`ganvert.extraction.Job`.
        threads: see there.
        generator: loaded, to check that the methods go with it.
    """
    cells: list[Cell] = []
    for invert in inverts:
        if isinstance(invert, tuple):
            cells.append(Cell(method=invert[0], seed=0, invert=None, job=None, reason=invert[1]))
            continue
        raw = shortened(invert.preset, steps)
        random = any("random" in (s.get("init"), s.get("detail_init")) for s in raw.get("stages", [raw]))
        for seed in range(seeds if random else 1):
            one = dataclasses.replace(invert, preset=raw, seed=invert.seed + seed)
            try:
                job = make_job(
                    align=None,
                    invert=one,
                    keep=Keep(reconstructions=True),
                    assets_folder=assets,
                    device=device,
                    threads=threads,
                    generator=generator,
                )
            except GanvertError as error:
                log.warning("study: %s is left out: %s", invert.method, error)
                cells.append(Cell(method=invert.method, seed=0, invert=None, job=None, reason=str(error)))
                break
            cells.append(Cell(method=invert.method, seed=seed, invert=one, job=job))
    return cells


def invert_cell(cell: Cell, aligned: Path, folder: Path, work: Path, workers: int = 1) -> Inverted:
    """Bring the codes of a cell up to date; finished shards are found, whoever computed them.

    Args:
        cell: one that can run.
        aligned: table `aligned` with at least one row.
        folder: for its tables.
        work: the work store of extractions.
        workers: processes side by side.

    Raises:
        StorageError: the disk is full.
    """
    job = cell.job
    assert job is not None
    outputs = {
        "codes": folder / "codes" / f"{cell.name}.parquet",
        "reconstructions": folder / "reconstructions" / f"{cell.name}.parquet",
    }
    failures: dict[str, str] = {}
    try:
        done = extract(job, [aligned], work, outputs, workers=workers, what=cell.name).plan
    except StorageError:
        raise
    except GanvertError as error:
        log.warning("%s: %s; its photographs are inverted one by one", cell.name, error)
        failures, rest = _one_by_one(cell, aligned, folder, work, str(error))
        if rest is None:
            return Inverted(None, None, {}, failures)
        done = extract(job, [rest], work, outputs, what=cell.name).plan
    return Inverted(outputs["codes"], outputs["reconstructions"], _seconds(done), failures)


def _one_by_one(cell: Cell, aligned: Path, folder: Path, work: Path, error: str) -> tuple[dict[str, str], Path | None]:
    """Invert what is left one crop at a time.

    Returns:
        The reasons of those that failed by image id, and a table of the others; None if there are none.
    """
    assert cell.job is not None
    failures: dict[str, str] = {}
    todo = plan(cell.job, [aligned], work)
    for shard in todo.shards():
        if cell.preset.together:  # alone they would be other codes
            failures |= {member.image_id or "": error for member in shard.members}
            continue
        for member in shard.members:
            try:
                run_shard(cell.job, Shard.of([member]), work)
            except StorageError:
                raise
            except GanvertError as reason:
                failures[member.image_id or ""] = str(reason)
    rows = [row for row in tables.read(aligned, tables.ALIGNED).to_pylist() if row["image_id"] not in failures]
    if not rows:
        return failures, None
    rest = folder / "aligned" / f"{cell.name}.parquet"
    tables.write(rest, tables.ALIGNED, rows)
    return failures, rest


def _seconds(done: Plan) -> dict[str, float]:
    """Return image id to core-seconds, the same for all pictures of a shard."""
    seconds: dict[str, float] = {}
    for shard, _ in groupby(done.catalogue.done(), key=lambda mark: mark[1]):
        ids = done.store.read(shard, "codes", ["image_id"]).column(0).to_pylist()
        spent = done.store.core_seconds(shard)
        if spent is not None and ids:
            seconds |= dict.fromkeys(ids, spent / len(ids))
    return seconds
