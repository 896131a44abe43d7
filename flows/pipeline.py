"""The pipeline as DVC sees it: its stages in running order, which are stale, and their metrics and plots.

Everything is read from DVC's own index, so dvc.yaml alone defines the order.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvc.stage import Stage as DvcStage

logger = logging.getLogger(__name__)


class TargetError(ValueError):
    """A target that names no stage, group of stages or output of the pipeline."""


@dataclass(frozen=True)
class Stage:
    """One DVC stage. Paths are relative to the root of the DVC project.

    Attributes:
        name: DVC's address of it as seen from the root: `align`, `invert@optimise`, `sub/dvc.yaml:train`, `raw.dvc`.
        upstream: names of the stages that it depends on directly.
        gpu: whether dvc.yaml has `meta: {gpu: true}`.
        always: whether it runs always (`always_changed: true`), to find out what has changed.
        outs: everything it writes.
        metrics: its metrics files, declared on the stage or at the top level of dvc.yaml.
        plots: its plots (files or folders), declared in either way.
    """

    name: str
    upstream: tuple[str, ...]
    gpu: bool
    always: bool
    outs: tuple[Path, ...]
    metrics: tuple[Path, ...]
    plots: tuple[Path, ...]

    def answers_to(self, target: str) -> bool:
        """Return whether `target` is its name, its matrix or foreach group, or one of its outputs."""
        return target == self.name or self.name.startswith(f"{target}@") or Path(target) in self.outs


def project_root(start: Path) -> Path:
    """Return the root of the DVC project around `start`; raises dvc's NotDvcRepoError when there is none."""
    from dvc.repo import Repo

    return Path(Repo.find_root(str(start)))


def read(root: Path, targets: Sequence[str] | None = None) -> list[Stage]:
    """Return the stages of the DVC project at `root`, each after all that it depends on.

    Args:
        root: root of the DVC project.
        targets: names of stages, groups or outputs; only these and their dependencies are returned. None is everything.

    Raises:
        TargetError: a target is none of these.
        dvc.exceptions.DvcException: dvc.yaml is missing something, malformed or has a cycle.
    """
    from dvc.repo import Repo
    from dvc.repo.metrics.show import _collect_top_level_metrics

    with Repo(str(root)) as repo:
        graph = repo.index.graph
        # Not index.metric_keys: in DVC 3.67 its top-level ones are relative to the working directory.
        metrics = [Path(path) for path in _collect_top_level_metrics(repo)]
        metrics += [Path(out.fs_path).relative_to(repo.root_dir) for out in repo.index.outs if out.metric]
        plots = [Path(*key) for key in repo.index.plot_keys["repo"]]
        stages: dict[str, Stage] = {}
        for found in repo.index.stages:
            outs = tuple(Path(out.fs_path).relative_to(repo.root_dir) for out in found.outs if out.protocol == "local")
            stages[_name(found)] = Stage(
                name=_name(found),
                upstream=tuple(sorted(_name(needed) for needed in graph.successors(found))),
                gpu=bool((found.meta or {}).get("gpu", False)),
                always=found.always_changed,
                outs=outs,
                metrics=_within(metrics, outs),
                plots=_within(plots, outs),
            )
    order = TopologicalSorter({stage.name: stage.upstream for stage in stages.values()}).static_order()
    wanted = _wanted(stages, targets)
    return [stages[name] for name in order if name in wanted]


def stale(root: Path, stages: Iterable[Stage]) -> set[str]:
    """Return the names of the stages that DVC would run or restore if nothing upstream changes any more.

    The files are compared as they are now: a stage that is clean here becomes stale once a stage before it has written
    or restored something. While another DVC command holds the project's locks, every stage counts as stale, and
    `dvc --wait-for-lock repro` decides.
    """
    from dvc.lock import LockError
    from dvc.repo import Repo, lock_repo

    names = {stage.name for stage in stages}
    try:
        with Repo(str(root)) as repo, lock_repo(repo):
            return {_name(found) for found in repo.index.stages if _name(found) in names and found.changed()}
    except LockError:
        logger.warning("another DVC command is running in %s: each stage waits for it, and DVC decides then", root)
        return names


def _name(stage: DvcStage) -> str:
    """Return the address of a stage relative to the project; DVC's own is relative to the working directory."""
    name: str | None = getattr(stage, "name", None)
    if name is None:
        return stage.path_in_repo
    return name if stage.path_in_repo == "dvc.yaml" else f"{stage.path_in_repo}:{name}"


def _within(paths: Iterable[Path], outs: Iterable[Path]) -> tuple[Path, ...]:
    folders = set(outs)
    return tuple(sorted(path for path in paths if path in folders or folders.intersection(path.parents)))


def _wanted(stages: dict[str, Stage], targets: Sequence[str] | None) -> set[str]:
    if not targets:
        return set(stages)
    wanted: set[str] = set()
    todo: list[str] = []
    for target in targets:
        found = [stage.name for stage in stages.values() if stage.answers_to(target)]
        if not found:
            raise TargetError(f"no stage, group or output {target!r} in dvc.yaml; the stages are {', '.join(stages)}")
        todo += found
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += stages[name].upstream
    return wanted
