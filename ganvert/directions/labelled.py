"""Directions from labelled photographs: their inverted codes and a table of ratings (InterFaceGAN, section 3).

What raters see in photographs, such as trustworthiness, no network needs to score. The fits are those of samples
(:data:`ganvert.directions.interfacegan.FITS`).
"""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal, cast, get_args

import numpy as np

from ganvert.base.errors import InputError, ParamsError
from ganvert.base.registry import lookup
from ganvert.base.texts import brief
from ganvert.codes import Codes
from ganvert.directions.base import Direction, DirectionSpace, row_range, step_length
from ganvert.directions.boundary import FitOptions, Fitted, judged, project_out
from ganvert.directions.interfacegan import FITS, figures
from ganvert.faces.listing import is_photo_name
from ganvert.spaces import make_space, to_device
from ganvert.spaces.composed import Composed

__all__ = ["LabelledOptions", "Shape", "find_labelled", "read_ratings"]

log = logging.getLogger(__name__)

COLUMNS = ("image", "trait", "value")
#: One vector for all rows, fitted on their mean, or a vector for each row, fitted on all of them together.
Shape = Literal["one", "rows"]


@dataclass(frozen=True, kw_only=True)
class LabelledOptions(FitOptions):
    """What to find in ratings.

    Attributes:
        trait: what the direction raises.
        condition_on: traits that an edit should leave alone.
        first_row: first row of ws (or of Z+) that is fitted and moved.
        last_row: one past the last; None for all.
        vectors: one, which a few dozen photographs can decide, or rows, a vector for each row.
        name: of the direction; None for the trait's.
    """

    fit: Fitted = "ridge"
    trait: str
    condition_on: tuple[str, ...] = ()
    first_row: int = 0
    last_row: int | None = None
    vectors: Shape = "one"
    name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trait in self.condition_on:
            raise ParamsError(f"{self.trait}: cannot be conditioned on itself")
        if self.vectors not in get_args(Shape):
            raise ParamsError(f"vectors: wanted one of {', '.join(get_args(Shape))}, got {self.vectors!r}")


def read_ratings(path: Path) -> dict[str, dict[str, float]]:
    """Read a CSV with the columns image, trait and value; further columns, such as a rater, are ignored.

    Args:
        path: the file, UTF-8. An image may have several values of a trait: their mean counts.

    Returns:
        trait -> {image: value}; without lines whose value is empty.

    Raises:
        InputError: no such file, a column is missing, or a value is not a finite number.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such table of ratings")
    values: dict[str, dict[str, list[float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                got = brief(reader.fieldnames)
                raise InputError(f"{path}: wanted the columns {', '.join(COLUMNS)}, got {got}; {missing[0]} is missing")
            for row in reader:
                if (row["value"] or "").strip():
                    number = _number(row["value"], f"{path}, line {reader.line_num}")
                    values.setdefault(row["trait"] or "", {}).setdefault(row["image"] or "", []).append(number)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8: {error}") from error
    return {trait: {image: fmean(given) for image, given in of.items()} for trait, of in values.items()}


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: wanted a finite number as value, got {brief(text)}; leave it empty if unknown")
    return number


def find_labelled(
    codes: Codes,
    ratings: Mapping[str, Mapping[str, float]],
    options: LabelledOptions,
    names: Mapping[str, str] | None = None,
) -> Direction:
    """Find the direction of a trait in rated photographs.

    Amount 1 is a standard deviation of the photographs' codes along it.

    Args:
        codes: inverted photographs; those that diverged are left out.
        ratings: trait -> {image: value}; an image is named by its id in the codes, or as in `names`. An ending such as
            .jpg may be there or not.
        options: see there.
        names: image id to the name of its photograph.

    Returns:
        The direction, in the space that moves the codes; its quality has the number of `photographs`.

    Raises:
        InputError: no image of the codes has a rating, or one has the ratings of two names.
        ParamsError: too few ratings, rows that the codes do not have, dependent conditions.
        UnknownNameError: nobody rated a trait.
        UnsupportedError: codes without rows (S).
    """
    # In the order of their names: splits do not depend on the order of the table.
    order = sorted((i for i in range(len(codes)) if codes.status[i] == "ok"), key=lambda i: codes.image_ids[i])
    images = [codes.image_ids[i] for i in order]
    shown = [(names or {}).get(image, image) for image in images]
    traits = (options.trait, *options.condition_on)
    scores = {trait: _scores(lookup(ratings, trait, "trait"), images, shown, trait) for trait in traits}
    flat, space, (first, last) = _coordinates(codes, order, options)
    boundaries = [FITS[options.fit](flat, scores[trait], trait, options) for trait in traits]
    normals = np.stack([boundary.normal for boundary in boundaries])
    vector = project_out(normals[0], normals[1:])
    unit = step_length(flat, vector)
    along = judged(flat, boundaries, lambda fitted, _: fitted)
    conditions = {name: scores[name] for name in options.condition_on}
    quality = {"score": options.trait, **figures(boundaries, along, scores[options.trait], conditions, unit)}
    quality["photographs"] = int((~np.isnan(scores[options.trait])).sum())
    vector = vector.reshape(last - first, -1) if options.vectors == "rows" else vector
    return Direction(options.name or options.trait, space, "labelled", vector, unit, first, last, quality)


def _scores(values: Mapping[str, float], images: Sequence[str], shown: Sequence[str], trait: str) -> np.ndarray:
    """Return the values [N] of images by their id or shown name, nan where there is none.

    Raises:
        InputError: no image has a value, or two rated names are of one image.
    """
    named: dict[str, list[str]] = {}
    for name in values:
        named.setdefault(_without_ending(name), []).append(name)
    scores, used = np.full(len(images), math.nan), set[str]()
    for i, (image, name) in enumerate(zip(images, shown, strict=True)):
        found = [known for known in (image, name) if known in values][:1]
        keys = dict.fromkeys(map(_without_ending, (image, name)))
        found = found or [known for key in keys for known in named.get(key, ())]
        if len(found) > 1:
            raise InputError(f"{trait}: wanted one rated name for each image, got {' and '.join(found)} of {name}")
        if found:
            scores[i] = values[found[0]]
            used.update(found)
    if not used:
        some = ", ".join(map(brief, [*values][:3]))
        raise InputError(f"{trait}: no rated image has a code; ratings name {some}, codes {', '.join(shown[:3])}")
    if rest := len(values) - len(used):
        log.warning("%s: %d of %d rated images have no code", trait, rest, len(values))
    return scores


def _without_ending(name: str) -> str:
    """Return the name of a picture without its folder, .jpg and the like; other points stay: me.2019 is not me."""
    return Path(name).stem if is_photo_name(name) else Path(name).name


def _coordinates(
    codes: Codes, order: Sequence[int], options: LabelledOptions
) -> tuple[np.ndarray, DirectionSpace, tuple[int, int]]:
    """Return what is fitted, float64 [N, d], the space of directions in it, and the rows of ws that it moves."""
    # Rows do not depend on what tuning changed.
    space = make_space(codes.space_name, codes.generators.generator)
    start, num_ws = space.first_coded, space.generator.num_ws
    first, last = row_range(max(options.first_row, start), options.last_row, num_ws, options.trait)
    while isinstance(space, Composed):
        space = space.detail
    variables = to_device(
        {name: codes.variables[name][list(order)] for name in space.shapes}, space.generator.w_avg.device
    )
    rows = (
        variables["z"].expand(-1, num_ws - start, -1)
        if space.direction_space == "z"
        else space.to_ws(variables)[:, start:]
    )
    chosen = rows[:, first - start : last - start].double().cpu().numpy()
    where = space.direction_space + ("plus" if options.vectors == "rows" else "")
    flat = chosen.reshape(len(chosen), -1) if options.vectors == "rows" else chosen.mean(axis=1)
    return flat, cast(DirectionSpace, where), (first, last)
