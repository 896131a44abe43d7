"""Stimuli for experiments: amounts solved for a measured score, how pictures are shown, what a paper says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageColor

from ganvert.base.errors import ParamsError
from ganvert.editing.amounts import LIMIT
from ganvert.scoring.statistics import summarise

__all__ = ["Presentation", "Solved", "methods_text", "solve_amount"]

_TOLERANCE = 0.01  # of what the score changes between the ends
_HALVINGS = 12  # of an amount: 4 / 2^12 is a thousandth of a standard deviation
#: The oval on an aligned crop, in parts of its side: centre x and y, half width and half height. on FFHQ's crops it
#: leaves forehead, cheeks and chin, and covers ears and most of the hair.
_OVAL = (0.5, 0.54, 0.27, 0.40)
_EDGE = 0.02  # width of the oval's soft edge, in parts of its half axes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Presentation:
    """How stimuli are shown.

    Attributes:
        size: side in pixels; None for as many as were drawn.
        oval: whether all but the inner face is covered.
        background: the colour around the oval, as CSS names it.
    """

    size: int | None = None
    oval: bool = False
    background: str = "#808080"

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ParamsError(f"size: wanted 1 or more pixels, got {self.size}")
        try:
            ImageColor.getrgb(self.background)
        except ValueError as error:
            raise ParamsError(
                f"background: wanted a colour such as grey or #808080, got {self.background!r}"
            ) from error

    def show(self, picture: Image.Image) -> Image.Image:
        """Return a square picture as it is shown."""
        if self.size is not None and self.size != picture.width:
            picture = picture.resize((self.size, self.size), Image.Resampling.LANCZOS)
        if not self.oval:
            return picture
        colour = Image.new("RGB", picture.size, ImageColor.getrgb(self.background)[:3])
        return Image.composite(picture, colour, Image.fromarray(_oval(picture.width)))


def _oval(side: int) -> np.ndarray:
    """Return the oval's mask, uint8 [side, side]: 255 inside, with a soft edge."""
    x, y, width, height = _OVAL
    centres = (np.arange(side) + 0.5) / side
    radius = np.hypot((centres[None] - x) / width, (centres[:, None] - y) / height)
    return np.round(255 * np.clip((1 - radius) / _EDGE + 0.5, 0, 1)).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Solved:
    """An amount, the score that it gives, and whether that is the target."""

    amount: float
    score: float
    reached: bool


def solve_amount(
    measure: Callable[[float], float | None], target: float, ends: tuple[float, float] = (-LIMIT, LIMIT)
) -> Solved | None:
    """Return the amount at which a score has a target value, by bisection between 0 and the end on either side.

    The score may be any function of the amount that passes the target; it need not grow evenly.

    Args:
        measure: score of the picture with an amount; None where it cannot be measured (no face was found).
        target: the score wanted, met to a hundredth of what the score changes between both ends.
        ends: the least amount to try, below 0, and the largest, above it; :func:`ganvert.editing.amounts.reach` of the
            direction.

    Returns:
        The amount; the nearest of those tried, with `reached` False, where the target is out of reach. None where the
        picture itself cannot be measured.
    """
    tried: dict[float, float] = {}

    def known(amount: float) -> float | None:
        score = measure(amount)
        if score is not None:
            tried[amount] = score
        return score

    start = known(0.0)
    if start is None:
        return None
    seen = [amount for amount in ends if known(amount) is not None]
    tolerance = _TOLERANCE * (max(tried.values()) - min(tried.values()))
    for end in seen:
        # The side on which the target lies between both scores; a side where it lies on neither end has no solution.
        if (start - target) * (tried[end] - target) > 0:
            continue
        near, far = 0.0, end
        for _ in range(_HALVINGS):
            best = min(tried, key=lambda amount: abs(tried[amount] - target))
            if abs(tried[best] - target) <= tolerance:
                return Solved(best, tried[best], True)
            middle = (near + far) / 2
            score = known(middle)
            # Without a face in the middle the nearer half is searched.
            if score is None or (tried[near] - target) * (score - target) <= 0:
                far = middle
            else:
                near = middle
    best = min(tried, key=lambda amount: abs(tried[amount] - target))
    return Solved(best, tried[best], bool(tolerance) and abs(tried[best] - target) <= tolerance)


def methods_text(rows: Sequence[Mapping[str, object]], facts: Mapping[str, str], presentation: Presentation) -> str:
    """Return a paragraph for the methods section of a paper: how stimuli were made, with what they measure.

    Args:
        rows: of stimuli.csv.
        facts: ``ganvert`` (its version), ``method``, ``generator``, ``recipe``, ``directions`` (in words).
        presentation: how they are shown.
    """
    count = len({row["person"] for row in rows})
    people = f"{count} {'person' if count == 1 else 'people'}"
    text = [
        f"Stimuli were made with ganvert {facts['ganvert']} from photographs of {people}. Faces were aligned "
        f"by the recipe {facts['recipe']} and inverted by the method {facts['method']} into the latent space of the "
        f"generator {facts['generator'][:12]}. The codes were moved along {facts['directions']}; an amount of 1 is one "
        "standard deviation of the generator's samples along a direction where nothing else is said, and an amount of "
        "0 is the unedited reconstruction."
    ]
    solved = [row for row in rows if row["target"] != ""]
    if solved:
        reached = sum(bool(row["reached"]) for row in solved)
        text.append(
            "Where a target is given, the amount was found for every person by bisection on the measured score within "
            f"the range of the direction, to 1 % of what the score changes there; {reached} of {len(solved)} targets "
            "were reached."
        )
    shown = f"Pictures are {presentation.size} px wide" if presentation.size else "Pictures are whole crops"
    if presentation.oval:
        shown += f", behind an oval mask in {presentation.background} that leaves the inner face"
    text.append(shown + ".")
    for direction in dict.fromkeys(str(row["direction"]) for row in rows):
        text += _measured(direction, [row for row in rows if row["direction"] == direction])
    distances = [float(str(row["identity"])) for row in rows if row.get("identity", "") != "" and row["amount"] != 0]
    if distances:
        mean = summarise(distances)
        text.append(
            f"The distance of dlib's face descriptors between edited and unedited pictures was {mean.mean:.2f} on "
            f"average (95 % interval {mean.low:.2f} to {mean.high:.2f}, {mean.count} pictures); below 0.6 its "
            "authors speak of the same person."
        )
    return " ".join(text) + "\n"


def _measured(direction: str, rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return a sentence on the scores of a direction that a score is named after; none for others."""
    column = f"after_{direction}"
    groups: dict[str, list[float]] = {}
    for row in rows:
        if row.get(column, "") != "":
            step = f"target {row['target']:g}" if row["target"] != "" else f"{row['amount']:+g}"
            if row.get("percentile", "") != "":
                step = f"percentile {row['percentile']:g}"
            groups.setdefault(step, []).append(float(str(row[column])))
    if not groups:
        return []
    means = ", ".join(f"{np.mean(values):.3g} at {step} (n = {len(values)})" for step, values in groups.items())
    return [f"Measured {direction} was on average {means}."]
