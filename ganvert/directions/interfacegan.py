"""InterFaceGAN: the normal of the hyperplane that separates high from low scores (Shen et al. 2020, section 3).

The hyperplane is the paper's SVM or a ridge regression (:data:`FITS`). Where edits of one attribute drag another along,
the other's normal is projected out (their section 3.3, "conditional manipulation", for any number of conditions), or
a share of it.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ganvert.base.errors import ParamsError
from ganvert.base.registry import lookup
from ganvert.directions.base import Direction, DirectionSpace, FinderInputs, Samples, row_range, step_length
from ganvert.directions.boundary import Boundary, Fit, FitOptions, judged, project_out, response
from ganvert.directions.ridge import fit_ridge
from ganvert.directions.svm import fit_svm
from ganvert.directions.transfer import carry_each

__all__ = ["FITS", "AttributeOptions", "InterfaceganOptions", "figures", "find_interfacegan"]

log = logging.getLogger(__name__)

_LONGEST = 10.0  # step
_FARTHEST = 100.0  # range

FITS: dict[str, Fit] = {"ridge": fit_ridge, "svm": fit_svm}


@dataclass(frozen=True, kw_only=True)
class AttributeOptions:
    """One attribute.

    Attributes:
        score: its score column; None for the one that is named like it.
        condition_on: score columns that an edit should leave alone.
        condition_partly: score columns that an edit should move less, and the share of them that is projected out, more
            than 0 and less than 1. A whole condition may turn what goes with the attribute into its opposite.
        first_row: first row of ws that the direction moves.
        last_row: one past the last; None for all.
        share: svm: in place of the one for all attributes; below the share of samples that have it, for what few have
            (glasses, hats): the others all score the same.
        step: amount 1 in standard deviations of the samples along the direction. The regression of scores on codes says
            what goes with a step, and pictures that are moved may change less; a longer step makes up for it.
        range: the amounts, of codes in W, between which portraits were seen to keep their face and stay the person; it
            becomes part of the direction's figures. None where nobody has looked.
        range_free: the same of the direction without its conditions.
    """

    score: str | None = None
    condition_on: tuple[str, ...] = ()
    condition_partly: dict[str, float] = field(default_factory=dict)
    first_row: int = 0
    last_row: int | None = None
    share: float | None = None
    step: float = 1.0
    range: tuple[float, float] | None = None
    range_free: tuple[float, float] | None = None

    @property
    def shares(self) -> dict[str, float]:
        """Every condition, and how much of it is projected out."""
        return dict.fromkeys(self.condition_on, 1.0) | self.condition_partly

    def without_conditions(self, name: str) -> AttributeOptions:
        """Return the options of the same direction without its conditions, with the range measured without them.

        Args:
            name: of this attribute, whose score the direction keeps under any other name.
        """
        score = self.score or name
        return dataclasses.replace(self, score=score, condition_on=(), condition_partly={}, range=self.range_free)


@dataclass(frozen=True, kw_only=True)
class InterfaceganOptions(FitOptions):
    """params.yaml: discover.methods.interfacegan.

    Attributes:
        attributes: what to find, each with its own options.
        unconditional: whether those with conditions are also found without them, as NAME_free (`stands_in` of their
            figures is NAME). An attribute of that name in `attributes` is what they say.
        spaces: w, and z for the normals carried there.
    """

    attributes: dict[str, AttributeOptions] = field(default_factory=dict)
    unconditional: bool = False
    spaces: tuple[Literal["w", "z"], ...] = ("w", "z")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.attributes:
            raise ParamsError("attributes: wanted at least one, such as smile: {}")
        if not self.spaces:
            raise ParamsError("spaces: wanted w, z or both, got none")
        for name, attribute in self.attributes.items():
            if attribute.share is not None and attribute.share <= 0:
                raise ParamsError(f"attributes.{name}.share: wanted a positive number, got {attribute.share}")
            if not 0 < attribute.step <= _LONGEST:
                raise ParamsError(
                    f"attributes.{name}.step: wanted more than 0, at most {_LONGEST:g}, got {attribute.step:g}"
                )
            for key, tested in (("range", attribute.range), ("range_free", attribute.range_free)):
                low, high = tested or (-1.0, 1.0)
                if not -_FARTHEST <= low < 0 < high <= _FARTHEST:
                    raise ParamsError(
                        f"attributes.{name}.{key}: wanted one amount below 0 and one above, at most {_FARTHEST:g} "
                        f"away, got {low:g} and {high:g}"
                    )
            if attribute.range_free and not attribute.shares:
                raise ParamsError(f"attributes.{name}.range_free: it has no conditions; leave it out, or call it range")
            if (attribute.score or name) in attribute.shares:
                raise ParamsError(f"attributes.{name}: cannot be conditioned on itself")
            for other, share in attribute.condition_partly.items():
                if other in attribute.condition_on or not 0 < share < 1:
                    raise ParamsError(
                        f"attributes.{name}.condition_partly.{other}: wanted a share between 0 and 1, of a score that "
                        f"is not in condition_on, got {share:g}"
                    )

    @property
    def stand_ins(self) -> dict[str, str]:
        """NAME_free to NAME, of the attributes that are also found without their conditions."""
        conditioned = [name for name, attribute in self.attributes.items() if attribute.shares and self.unconditional]
        return {f"{name}_free": name for name in conditioned if f"{name}_free" not in self.attributes}

    @property
    def found(self) -> dict[str, AttributeOptions]:
        """Everything that is found: the attributes, and those without their conditions."""
        free = {name: self.attributes[own].without_conditions(own) for name, own in self.stand_ins.items()}
        return self.attributes | free


def find_interfacegan(inputs: FinderInputs, options: InterfaceganOptions) -> list[Direction]:
    """Return one direction per attribute (:attr:`InterfaceganOptions.found`) and space.

    A condition is projected out in each space by its own normal there.

    Raises:
        ParamsError: too few scored samples, rows the generator does not have, dependent conditions.
        UnknownNameError: the samples have no score of an attribute or condition.
    """
    samples = inputs.samples
    # Conditions need a boundary too, even if no direction of their own is asked for.
    wanted: dict[str, FitOptions] = {}
    for name, attribute in options.attributes.items():
        own = dataclasses.replace(options, share=attribute.share or options.share)
        if wanted.setdefault(attribute.score or name, own).share != own.share:
            raise ParamsError(f"attributes.{name}.share: another attribute of the same score has another share")
    for attribute in options.attributes.values():
        wanted |= {name: options for name in attribute.shares if name not in wanted}
    # Fitted in W for both spaces: attributes are separated better by hyperplanes there than in Z (Karras et al. 2019,
    # section 4.2).
    boundaries = {
        name: FITS[options.fit](samples.w, lookup(samples.scores, name, "score"), name, own)
        for name, own in wanted.items()
    }
    return [
        _direction(name, space, samples, boundaries, attribute, options.stand_ins.get(name))
        for name, attribute in options.found.items()
        for space in options.spaces
    ]


def _direction(
    name: str,
    space: DirectionSpace,
    samples: Samples,
    boundaries: Mapping[str, Boundary],
    attribute: AttributeOptions,
    stands_in: str | None,
) -> Direction:
    """Return the direction of an attribute in a space, with figures on samples that it has not seen."""
    first, last = row_range(attribute.first_row, attribute.last_row, samples.num_ws, f"interfacegan {name}")
    score = attribute.score or name
    chosen = [boundaries[fitted] for fitted in (score, *attribute.shares)]
    shares = list(attribute.shares.values())

    def carried(normals: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return carry_each(normals, samples.w[rows], samples.z[rows])

    def kept(normals: np.ndarray, rows: np.ndarray) -> np.ndarray:
        del rows
        return normals

    # Carried first and projected afterwards: the regression does not keep right angles, so that a direction orthogonal
    # to its conditions in W would not be so in Z.
    carry, codes = (carried, samples.z) if space == "z" else (kept, samples.w)
    # The figures want a direction that has not seen the held-out samples, but the transfer uses all of them.
    along = judged(codes, chosen, carry, shares)
    # The attribute comes first and its conditions after it: only the first normal is projected.
    final = carry(np.stack([boundary.normal for boundary in chosen]), np.full(len(codes), True))
    vector = project_out(final[0], final[1:], shares)
    unit = attribute.step * step_length(codes, vector)
    scores = {other: samples.scores[other] for other in attribute.shares}
    quality = {
        "score": score,
        "step": attribute.step,
        **figures(chosen, along, samples.scores[score], scores, unit, shares),
    }
    if space == "w" and attribute.range:  # one step of Z is another change of the picture
        quality["range"] = attribute.range
    if stands_in:
        quality["stands_in"] = stands_in
    accuracy, correlation = quality["validation_accuracy"], quality["correlation"]
    log.info("interfacegan %s in %s: validation accuracy %.3f, correlation %.3f", name, space, accuracy, correlation)
    return Direction(name, space, "interfacegan", vector, unit, first, last, quality)


def figures(
    boundaries: Sequence[Boundary],
    along: np.ndarray,
    score: np.ndarray,
    conditions: Mapping[str, np.ndarray],
    unit: float,
    shares: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Return the figures of a direction.

    Args:
        boundaries: the attribute's and then its conditions'.
        along: coordinates [N] of codes along directions that have not seen them.
        score: [N], the attribute's.
        conditions: name to score [N].
        unit: the length of amount 1.
        shares: of the conditions, see :func:`project_out`.
    """
    quality: dict[str, Any] = dict(boundaries[0].quality) | response(along, score, unit)
    quality["leak"] = {name: response(along, other, unit)["correlation"] for name, other in conditions.items()}
    halves = np.array([boundary.halves for boundary in boundaries if boundary.halves is not None])
    # Of the normals in the space that was fitted, also where they are carried on: the transfer uses the same samples.
    if len(halves) == len(boundaries):
        one, other = (project_out(normals[0], normals[1:], shares) for normals in halves.swapaxes(0, 1))
        quality["halves_cosine"] = float(one @ other)
    return quality
