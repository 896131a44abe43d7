"""Editing strength: what is left of the person when a code moves (F/Z+ figures 3, 4, 6 and 7, section 4).

Every direction is walked in equal steps, and each picture is compared with the photograph and with the unedited
reconstruction. The same amount is not the same change: a step of Z and one of W are different steps, a feature map
holds back what the rows behind it say, and codes start at different places. So identity is also read off at equal
change of the direction's own score, and so is what else has changed. Directions without a score are compared at equal
change of the picture (`change_mse`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, pstdev

import numpy as np
from PIL import Image
from torch import Tensor

from ganvert.base.errors import ParamsError, UnknownNameError, UnsupportedError
from ganvert.directions import choose
from ganvert.editing.contract import EditInputs, check_amount
from ganvert.editing.edits.shift import Shift
from ganvert.editing.render import draw_edit
from ganvert.faces import ATTRIBUTES
from ganvert.images import area_resize, from_pil
from ganvert.scoring.metrics.pixel import mse
from ganvert.scoring.score import score_edits
from ganvert.study.sections.base import Piece, Row, SectionOptions, Subject, Tools, number

__all__ = ["AT_CHANGE", "CHANGE", "StrengthOptions", "at_change", "finish_strength", "measure_strength"]

#: What follows the name of a metric that was read off at equal change of the score; the row's amount is the change.
AT_CHANGE = "@change"
#: Mean squared difference of an edited picture and the unedited one, at 256 px or the generator's own size.
CHANGE = "change_mse"
_SIDE = 256
#: The equal change, in parts of the median of what the largest amount changes: less than half of all reach 1.
_PART = 0.5


@dataclass(frozen=True, kw_only=True)
class StrengthOptions(SectionOptions):
    """params.yaml: study.sections.strength.

    Attributes:
        random: random directions of each kind: of each standard deviation, as drawn and of equal length relative to
            the radius of the space (:mod:`ganvert.directions.random_draws`).
        stds: standard deviations of a coordinate of random directions, 0.2 in the paper and 0.04 in its code.
        components: of GANSpace, from 0; the paper shows the second, third and fourth.
        attributes: InterFaceGAN directions of the table of directions; each is scored by the attribute of its name.
        most: the largest amount, in steps of a random direction and in standard deviations of the samples otherwise.
        steps: amounts from -most to most, 0 among them.
        samples: of the generator, from which random directions and components are found.
    """

    random: int = 1
    stds: tuple[float, ...] = (0.2, 0.04)
    components: tuple[int, ...] = (1, 2, 3)
    attributes: tuple[str, ...] = ("smile", "age", "yaw")
    most: float = 2.0
    steps: int = 11
    samples: int = 5000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_amount(self.most)
        if self.most <= 0 or self.steps < 3 or self.steps % 2 == 0:
            raise ParamsError(f"steps: wanted an odd number from 3 and most above 0, got {self.steps}, {self.most:g}")
        if bad := [std for std in self.stds if not (math.isfinite(std) and std > 0)]:
            raise ParamsError(f"stds: wanted positive numbers, got {bad[0]}")
        if self.random < 0 or any(component < 0 for component in self.components):
            raise ParamsError("random and components: wanted 0 or more")
        if not self.names:
            raise ParamsError("random, components and attributes: wanted at least one direction")
        if self.samples < 2 + max(self.components, default=0):
            raise ParamsError(f"samples: wanted more than there are components, got {self.samples}")

    @property
    def names(self) -> list[str]:
        """The directions."""
        kinds = [f"random_{std:g}_{matched}" for std in self.stds for matched in ("", "matched_")]
        drawn = [f"{kind}{k}" for kind in kinds for k in range(self.random)]
        return [*drawn, *(f"ganspace_{k}" for k in self.components), *self.attributes]

    @property
    def amounts(self) -> list[float]:
        """The amounts, rising."""
        half = self.steps // 2
        return [self.most * i / half for i in range(-half, half + 1)]


def measure_strength(subject: Subject, tools: Tools, options: StrengthOptions) -> Piece:
    """Return identity and attributes along every direction; a direction that does not fit the code is a row."""
    rows: list[Row] = []
    pictures = {}
    space, edit = subject.code.space, Shift()
    unedited, channels = subject.reconstruction, tools.generator.image_channels
    # Amount 0 is the reconstruction whatever the direction, and is scored once.
    start = score_edits({}, unedited, unedited, subject.crop, tools.identities, tools.scorer, channels)
    before = _small(unedited)
    for name in options.names:
        try:
            direction = choose(tools.directions, name, space.direction_space)
            edit.check_space(space, [direction])
        except (UnknownNameError, UnsupportedError):
            rows.append(number(name, 0.0, "direction", None, "no_direction"))
            continue
        inputs = EditInputs(code=subject.code, directions=[(direction, 1.0)])
        for amount in options.amounts:
            key = {"variant": name, "amount": amount}
            if amount == 0:
                rows += [{**row, **key} for row in start]
                rows.append(number(name, amount, CHANGE, 0.0))
                continue
            try:
                picture = draw_edit(edit, inputs, amount)
            except UnsupportedError:  # numbers that are not finite: no picture
                rows.append(number(name, amount, "direction", None, "not_drawn"))
                continue
            rows += score_edits(key, picture, unedited, subject.crop, tools.identities, tools.scorer, channels)
            rows.append(number(name, amount, CHANGE, mse(_small(picture), before).item()))
            if abs(amount) == options.most:
                pictures[name, amount] = picture
    return Piece(rows, pictures)


def _small(picture: Image.Image) -> Tensor:
    return area_resize(from_pil([picture]), min(_SIDE, picture.width))


def finish_strength(rows: Sequence[Row]) -> list[Row]:
    """Return identity and off-target change where the direction's own score has changed equally much.

    Of directions without a score, the picture has. The change is, for every direction, half of the median of what the
    largest positive amount changes, over all images and methods. The amount of the new rows is that change. Off-target
    change is the mean of what the other attributes change, in standard deviations of the unedited pictures.
    """
    curves = _curves(rows)
    spread = _spread(curves)
    finished: list[Row] = []
    for variant in dict.fromkeys(key[-1] for key in curves):
        here = {key: of_key for key, of_key in curves.items() if key[-1] == variant}
        target = variant if any(variant in metrics for metrics in here.values()) else CHANGE
        change = _equal_change(here.values(), target)
        if change is None:
            continue
        for (image_id, method, seed, _), metrics in here.items():
            key = {"image_id": image_id, "method": method, "seed": seed}
            rows_here = _rows_at(metrics, target, change, spread)
            finished += [{**key, **row, "variant": variant} for row in rows_here]
    return finished


def at_change(target: Mapping[float, float], other: Mapping[float, float], change: float) -> float | None:
    """Return the value of a curve where another one has changed by a given amount since amount 0.

    Both are straight between their points. Of both sides, the one whose score moves that way first counts.

    Args:
        target: amount to score, 0 among the amounts.
        other: amount to value.
        change: of the score.

    Returns:
        None where the score never changes so much, or a value on the way there is missing.
    """
    if 0.0 not in target:
        return None
    start, nearest = target[0.0], math.inf
    value: float | None = None
    for side in (1, -1):
        amounts = sorted((amount for amount in target if amount * side >= 0), key=abs)
        for near, far in pairwise(amounts):
            low, high = target[near] - start, target[far] - start
            if (low - change) * (high - change) <= 0 and low != high:
                part = (change - low) / (high - low)
                where = abs(near + part * (far - near))
                if where < nearest:
                    known = near in other and far in other
                    nearest, value = where, other[near] + part * (other[far] - other[near]) if known else None
                break
    return value


def _curves(rows: Sequence[Row]) -> dict[tuple[str, str, int, str], dict[str, dict[float, float]]]:
    """Return image, method, seed and direction to metric to amount to value."""
    curves: dict[tuple[str, str, int, str], dict[str, dict[float, float]]] = {}
    for row in rows:
        if row["value"] is not None:
            key = row["image_id"], row["method"], row["seed"], row["variant"]
            curves.setdefault(key, {}).setdefault(row["metric"], {})[row["amount"]] = row["value"]
    return curves


def _spread(curves: Mapping[tuple[str, str, int, str], Mapping[str, Mapping[float, float]]]) -> dict[str, float]:
    """Return the standard deviation of every attribute over the unedited pictures; without those that do not vary."""
    values: dict[str, dict[tuple[str, str, int], float]] = {}
    for (image_id, method, seed, _), metrics in curves.items():
        for metric, line in metrics.items():
            if metric in ATTRIBUTES and 0.0 in line:
                values.setdefault(metric, {})[image_id, method, seed] = line[0.0]
    return {metric: spread for metric, of_images in values.items() if (spread := pstdev(of_images.values())) > 0}


def _equal_change(curves: Iterable[Mapping[str, Mapping[float, float]]], target: str) -> float | None:
    """Return the change of a metric at which curves are compared; None where it was not measured."""
    changes = []
    for metrics in curves:
        line = metrics.get(target, {})
        if 0.0 in line and (most := max(line)) > 0:
            changes.append(line[most] - line[0.0])
    change = _PART * median(changes) if changes else 0.0
    return change or None


def _rows_at(
    metrics: Mapping[str, Mapping[float, float]], target_name: str, change: float, spread: Mapping[str, float]
) -> Iterator[Row]:
    """Yield the rows of one curve at the equal change, without their direction."""
    target = metrics.get(target_name, {})
    missing = "not_reached"
    for name in metrics:
        if name.startswith("identity"):
            value = at_change(target, metrics[name], change)
            yield number("", change, name + AT_CHANGE, value, "ok" if value is not None else missing)
    moved = [
        abs(value - line[0.0]) / spread[name]
        for name, line in metrics.items()
        if name in spread and name != target_name and 0.0 in line
        if (value := at_change(target, line, change)) is not None
    ]
    value = float(np.mean(moved)) if moved else None
    yield number("", change, "off_target" + AT_CHANGE, value, "ok" if moved else missing)
