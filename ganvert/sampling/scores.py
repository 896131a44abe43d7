"""Attribute scores of samples: read from tables, or computed by face models and by users' own functions."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganvert import tables
from ganvert.base.errors import InputError, ParamsError, TableError
from ganvert.base.registry import lookup
from ganvert.base.texts import brief
from ganvert.compute.progress import progress
from ganvert.faces import ATTRIBUTES
from ganvert.generators.base import Generator, check_owner
from ganvert.sampling.draw import codes_of
from ganvert.sampling.store import PictureStore

__all__ = ["SampleOptions", "SampleSet", "load_callable", "read_score_table", "sample", "write_samples"]

#: A user's own scorer: images in, one mapping of name to number (or None) per image out.
Scorer = Callable[[Sequence[Image.Image]], list[dict[str, float | None]]]


def load_callable(name: str) -> Scorer:
    """Import a user's scorer from ``package.module:function``; ParamsError if that fails."""
    module, _, function = name.partition(":")
    try:
        scorer: Scorer = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ParamsError(f"scorer {name!r}: wanted 'package.module:function': {error}") from error
    if not callable(scorer):
        raise ParamsError(f"scorer {name!r} is not callable")
    return scorer


def read_score_table(path: Path, generator: Generator | None = None) -> tuple[dict[str, dict[int, float]], set[int]]:
    """Read a table of scores: Parquet or CSV with a column ``seed`` and one column of numbers per attribute.

    Args:
        path: the table.
        generator: must be the one that the table's metadata name, if they name one.

    Returns:
        attribute -> {seed: score}, without seeds that have no score (no face was found); and all seeds of the table.

    Raises:
        InputError: there is no such file.
        TableError: it is no such table: damaged, without seeds, with a column or seed twice, or with a score that is no
            finite number; or it is of another generator.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    if not path.exists():
        raise InputError(f"{path}: there is no such score table")
    try:
        data = pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
        names = data.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: neither Parquet nor CSV: {error}") from error
    if "seed" not in names:
        raise TableError(f"{path}: wanted a column 'seed' beside the scores, got {names}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise TableError(f"{path}: wanted every column once, got {twice[0]!r} twice; rename or remove one")
    owner = (data.schema.metadata or {}).get(b"generator", b"").decode(errors="replace")
    if owner and generator is not None:
        remedy = "take it out of sample.tables, or set sample.known: null to score this generator's samples anew"
        check_owner(generator, owner, f"{path}: scores", remedy)
    seeds = data.column("seed").to_pylist()
    if bad := [seed for seed in seeds if type(seed) is not int]:
        raise TableError(f"{path}: column 'seed': wanted whole numbers, got {brief(bad[0])}")
    if len(set(seeds)) < len(seeds):
        again = next(seed for seed, count in Counter(seeds).items() if count > 1)
        raise TableError(f"{path}: seed {again} has several rows; wanted one for each sample")
    scores: dict[str, dict[int, float]] = {}
    for name in names:
        if name != "seed":
            column = data.column(name).to_pylist()
            # An empty cell is a sample without a score, usually one without a face.
            if any(value is not None and not isinstance(value, int | float) for value in column):
                raise TableError(f"{path}: column {name!r} holds something that is not a number")
            if any(value is not None and not math.isfinite(value) for value in column):
                raise TableError(
                    f"{path}: column {name!r} holds a number that is not finite; leave the cell empty where there is "
                    "no score"
                )
            scores[name] = {seed: float(v) for seed, v in zip(seeds, column, strict=True) if v is not None}
    return scores, set(seeds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """params.yaml: sample.

    Attributes:
        count: seeds 0 .. count - 1 are the samples.
        px: side of the images that are scored.
        attributes: which face attributes are scored (``ganvert.faces.ATTRIBUTES``); empty for images of other things,
            for which no face model is needed.
        known: score table of this generator, made earlier with the same scorers; its seeds are not drawn again.
            None draws and scores everything.
        check: number of seeds of `known` that are drawn and scored again, to compare.
        sheet: number of images on the contact sheet.
        tables: further score tables (Parquet or CSV with a column ``seed``), one attribute per column.
        callables: further scorers, ``package.module:function``; they score every seed, so that all images are drawn.
    """

    count: int
    px: int = 512
    attributes: tuple[str, ...] = tuple(ATTRIBUTES)
    known: str | None = None
    check: int = 8
    sheet: int = 16
    tables: tuple[str, ...] = ()
    callables: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.attributes:
            lookup(ATTRIBUTES, name, "attribute")
        if self.count < 2 or self.px < 64 or self.check < 0 or self.sheet < 0:
            raise ParamsError(f"count must be at least 2, px at least 64, check and sheet not negative; got {self}")


@dataclasses.dataclass
class SampleSet:
    """Rows of the samples table, and images for the contact sheet."""

    rows: list[dict[str, Any]]
    attributes: list[str]
    drawn: int
    pictures: list[Image.Image]
    captions: list[str]


def sample(generator: Generator, options: SampleOptions, folder: Path, work: Path) -> SampleSet:
    """Draw and score the samples.

    Args:
        generator: on its device.
        options: see there.
        folder: the asset folder (landmarks, age and gender).
        work: images are kept here; a stopped run resumes.

    Raises:
        TableError: `known` disagrees with the scores computed here: made by another generator or other scorers.
    """
    from ganvert.faces import AttributeScorer

    seeds = list(range(options.count))
    known, covered = read_score_table(Path(options.known), generator) if options.known else ({}, set())
    lacking = sorted(set(options.attributes) - set(known))
    if options.known and lacking:
        raise TableError(f"{options.known}: lacks {lacking}; sample.known: null scores anew")
    scorers = [load_callable(name) for name in options.callables]
    # Not in the table, rather than without a score: seeds where no face was found are not drawn again.
    unknown = [seed for seed in seeds if seed not in covered] if options.attributes else []
    new = seeds if scorers else unknown
    # A few known ones again, to notice a table of other scorers or of another generator without a name in it.
    again = [seed for seed in seeds if seed in covered][: options.check] if options.attributes else []
    shown = seeds[: options.sheet]

    store = PictureStore(generator, work, options.count, options.px)
    wanted = sorted({*new, *again, *shown})
    store.fill(wanted)
    fresh: dict[int, dict[str, float | None]] = {}
    to_score = sorted({*unknown, *again})
    scorer = AttributeScorer(folder, options.attributes) if to_score else None
    for seed in progress(to_score, len(to_score), "scoring samples"):
        assert scorer is not None
        fresh[seed] = scorer.score([store.picture(seed)])[0]
    _compare(options, known, {seed: fresh[seed] for seed in again})

    scores: dict[str, dict[int, float | None]] = {
        # Seeds that were only scored again keep the table's score: the result does not depend on `check`.
        name: {**known.get(name, {}), **{s: fresh[s][name] for s in fresh if s not in covered}}
        for name in options.attributes
    }
    for path in options.tables:
        for name, column in read_score_table(Path(path), generator)[0].items():
            _add(scores, name, dict(column), path)
    for name, function in zip(options.callables, scorers, strict=True):
        results = [function([store.picture(seed)])[0] for seed in progress(seeds, len(seeds), name)]
        # In the order in which they come: that of a set differs from run to run, and columns with it.
        for attribute in dict.fromkeys(key for result in results for key in result):
            _add(scores, attribute, {s: r.get(attribute) for s, r in zip(seeds, results, strict=True)}, name)

    # w without truncation: directions are found in the whole space, and psi is an option of drawing.
    z, w = codes_of(generator, seeds)
    rows = [
        {"seed": seed, "z": z[i].cpu().numpy(), "w": w[i].cpu().numpy()}
        | {name: column.get(seed) for name, column in scores.items()}
        for i, seed in enumerate(seeds)
    ]
    captions = [_caption(seed, scores) for seed in shown]
    return SampleSet(rows, list(scores), len(wanted), [store.picture(seed) for seed in shown], captions)


def write_samples(path: Path, generator: Generator, samples: SampleSet) -> None:
    """Write the samples table."""
    table = tables.samples_table(generator.z_dim, generator.w_dim, samples.attributes)
    facts = {"generator": generator.fingerprint(), "num_ws": str(generator.num_ws)}
    facts |= {} if generator.label is None else {"label": str(generator.label)}
    tables.write(path, table, samples.rows, facts)


def _add(scores: dict[str, dict[int, float | None]], name: str, column: dict[int, float | None], where: str) -> None:
    if name in scores:
        raise TableError(f"{where}: attribute {name!r} is scored already; rename its column")
    scores[name] = column


def _caption(seed: int, scores: Mapping[str, Mapping[int, float | None]]) -> str:
    if "age" not in scores or "yaw" not in scores:
        return str(seed)
    age, yaw = scores["age"].get(seed), scores["yaw"].get(seed)
    return f"{seed}: no face" if age is None or yaw is None else f"{seed}: {age:.0f} y, yaw {yaw:.0f}"


def _compare(
    options: SampleOptions, known: Mapping[str, Mapping[int, float]], fresh: Mapping[int, Mapping[str, float | None]]
) -> None:
    """Refuse a score table that this machine's scorers do not reproduce.

    The median over the seeds drawn again must agree to 0.05 standard deviations: single images may differ more, where a
    landmark jumps with the last bits of a pixel.
    """
    for name, column in known.items():
        if name not in next(iter(fresh.values()), {}):
            continue
        # A column of one value has no spread: differences then count as they are.
        spread = float(np.std(list(column.values()))) or 1.0
        pairs = [(column.get(seed), scores[name]) for seed, scores in fresh.items()]
        differences = [abs(a - b) / spread for a, b in pairs if a is not None and b is not None]
        if differences and float(np.median(differences)) > 0.05:
            raise TableError(
                f"{options.known}: {name!r} differs from the scores computed here by {np.median(differences):.2f} "
                "standard deviations: another generator or other scorers made it; set sample.known: null"
            )
