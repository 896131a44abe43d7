"""InterFaceGAN: the normal of the hyperplane that separates high from low scores (Shen et al. 2020, section 3).

A linear SVM with hinge loss (libsvm, codes as they are, not standardised: the normal is one of the space itself) is
fitted on the samples that score highest and lowest. Where edits of one attribute drag another along, the other's
normal is projected out (their section 3.3, "conditional manipulation", for any number of conditions).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganvert.base.errors import ParamsError
from ganvert.base.registry import lookup
from ganvert.base.seeds import item_seed
from ganvert.directions.base import Direction, DirectionSpace, FinderInputs, Samples, row_range, step_length
from ganvert.directions.transfer import carry_each

__all__ = ["AttributeOptions", "Boundary", "InterfaceganOptions", "find_interfacegan", "fit_boundary", "project_out"]

log = logging.getLogger(__name__)

TRAIN_SHARE = 0.7  # the rest of the chosen samples validates, as in the authors' train_boundary.py
FEWEST = 10  # samples at each end


@dataclass(frozen=True, kw_only=True)
class AttributeOptions:
    """One attribute, named like its score column.

    Attributes:
        condition_on: score columns that an edit should leave alone.
        first_row: first row of ws that the direction moves.
        last_row: one past the last; None for all.
        share: in place of the one for all attributes; below the share of samples that have it, for what few have
            (glasses, hats): the others all score the same.
    """

    condition_on: tuple[str, ...] = ()
    first_row: int = 0
    last_row: int | None = None
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class InterfaceganOptions:
    """params.yaml: discover.methods.interfacegan.

    Attributes:
        attributes: what to find, each with its own options.
        spaces: w, and z for the normals carried there.
        share: of the scored samples at each end that train and validate (above 1: a count), at most half. The
            paper's 0.02 is of 500,000; of a few thousand it would leave fewer samples than dimensions.
        C: of the SVM. The paper's 1 overfits a few thousand samples: from two disjoint sets of 980 samples of the FFHQ
            generator, C = 1 finds smile normals with a cosine of 0.45 and 0.01 ones with 0.75, at the same held-out
            correlation of 0.79; its edits also change identity less for the same smile.
        seed: of the split into training and validation.
    """

    attributes: dict[str, AttributeOptions] = field(default_factory=dict)
    spaces: tuple[DirectionSpace, ...] = ("w", "z")
    share: float = 0.3
    C: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.attributes:
            raise ParamsError("attributes: wanted at least one, such as smile: {}")
        if not self.spaces:
            raise ParamsError("spaces: wanted w, z or both, got none")
        if self.share <= 0 or self.C <= 0:
            raise ParamsError(f"share and C: wanted positive numbers, got {self.share} and {self.C}")
        for name, attribute in self.attributes.items():
            if attribute.share is not None and attribute.share <= 0:
                raise ParamsError(f"attributes.{name}.share: wanted a positive number, got {attribute.share}")
            if name in attribute.condition_on:
                raise ParamsError(f"attributes.{name}: cannot be conditioned on itself")


@dataclass(frozen=True, eq=False)
class Boundary:
    """A fitted hyperplane of W.

    Attributes:
        normal: [w_dim], unit length; along it the score rises.
        held_out: bool [N], scored samples that the fit did not see (validation and the unchosen middle).
        quality: validation and remainder accuracy.
    """

    normal: np.ndarray
    held_out: np.ndarray
    quality: dict[str, float]


def find_interfacegan(inputs: FinderInputs, options: InterfaceganOptions) -> list[Direction]:
    """Return one direction per attribute and space.

    A condition is projected out in each space by its own normal there.

    Raises:
        ParamsError: too few scored samples, rows the generator does not have, dependent conditions.
        UnknownNameError: the samples have no score of an attribute or condition.
    """
    samples = inputs.samples
    # Conditions need a boundary too, even if no direction of their own is asked for.
    wanted = dict.fromkeys(options.attributes)
    for attribute in options.attributes.values():
        wanted |= dict.fromkeys(attribute.condition_on)
    # Fitted in W for both spaces: attributes are separated better by hyperplanes there than in Z (Karras et al. 2019,
    # section 4.2).
    boundaries = {
        name: fit_boundary(samples.w, lookup(samples.scores, name, "score"), name, options) for name in wanted
    }
    return [
        _direction(name, space, samples, boundaries, attribute)
        for name, attribute in options.attributes.items()
        for space in options.spaces
    ]


def _direction(
    name: str,
    space: DirectionSpace,
    samples: Samples,
    boundaries: Mapping[str, Boundary],
    attribute: AttributeOptions,
) -> Direction:
    """Return the direction of an attribute in a space, with figures on samples that it has not seen."""
    first, last = row_range(attribute.first_row, attribute.last_row, samples.num_ws, f"interfacegan {name}")
    normals = np.stack([boundaries[condition].normal for condition in (name, *attribute.condition_on)])
    held_out = boundaries[name].held_out
    # The attribute comes first and its conditions after it: only the first normal is projected.
    codes, final, blind = samples.w, normals, normals
    if space == "z":
        # The figures want a direction that has not seen the held-out samples, but the transfer uses all of them.
        rest = ~held_out
        # Carried first and projected afterwards: the regression does not keep right angles, so that a direction
        # orthogonal to its conditions in W would not be so in Z.
        codes, final = samples.z, carry_each(normals, samples.w, samples.z)
        blind = carry_each(normals, samples.w[rest], samples.z[rest])
    vector, judged = project_out(final[0], final[1:]), project_out(blind[0], blind[1:])
    quality: dict[str, Any] = dict(boundaries[name].quality)
    quality |= _response(judged, codes, held_out, samples.scores[name])
    quality["leak"] = {
        other: _response(judged, codes, held_out, samples.scores[other])["correlation"]
        for other in attribute.condition_on
    }
    accuracy, correlation = quality["validation_accuracy"], quality["correlation"]
    log.info("interfacegan %s in %s: validation accuracy %.3f, correlation %.3f", name, space, accuracy, correlation)
    return Direction(name, space, "interfacegan", vector, step_length(codes, vector), first, last, quality)


def fit_boundary(w: np.ndarray, score: np.ndarray, name: str, options: InterfaceganOptions) -> Boundary:
    """Fit the SVM of one attribute.

    Args:
        w: [N, w_dim].
        score: [N], nan where unknown; such rows are left out.
        name: of the attribute, for the split's seed and messages.
        options: share, C and seed.

    Raises:
        ParamsError: fewer than 10 samples at each end, or a score that is the same throughout.
    """
    from sklearn.svm import SVC

    scored = np.flatnonzero(~np.isnan(score))
    # Stable: equal scores stay in the order of the samples, on every machine.
    order = scored[np.argsort(score[scored], kind="stable")]
    # Only the extremes are fitted. Between them a score tells little more than the noise of the predictor, and samples
    # labelled by it would turn the hyperplane.
    own = options.attributes.get(name)
    share = options.share if own is None or own.share is None else own.share
    count = int(len(order) * share if share <= 1 else share)
    count = min(count, len(order) // 2)
    if count < FEWEST:
        raise ParamsError(
            f"interfacegan {name}: {len(order)} of {len(score)} samples have a score and share {share} takes "
            f"{count} at each end, wanted at least {FEWEST}; raise share or draw more samples"
        )
    low, middle, high = order[:count], order[count : len(order) - count], order[len(order) - count :]
    # Samples of one score on both sides would be labelled by their order alone.
    if score[low[-1]] >= score[high[0]]:
        raise ParamsError(
            f"interfacegan {name}: the highest and the lowest {count} samples overlap at score {score[high[0]]:g}; "
            "lower share"
        )
    generator = np.random.default_rng(item_seed("interfacegan", name, options.seed))
    # Both ends are sorted by score: without a shuffle, training would get the lowest of the low and the least high of
    # the high. Each end is split by itself, so that both labels stay equally frequent.
    low, high = generator.permutation(low), generator.permutation(high)
    cut = int(count * TRAIN_SHARE)
    train = np.concatenate([low[:cut], high[:cut]])
    machine = SVC(kernel="linear", C=options.C).fit(w[train], np.repeat([0, 1], cut))
    # libsvm's normal points towards label 1, the high scores. The intercept is dropped: it tells which side a code is
    # on, and an edit moves along the normal from wherever the code is.
    normal = machine.coef_[0] / np.linalg.norm(machine.coef_[0])

    validation = np.concatenate([low[cut:], high[cut:]])
    quality = {"validation_accuracy": float(machine.score(w[validation], np.repeat([0, 1], count - cut)))}
    if len(middle):
        # The authors' label there: above the middle of the range of all scores.
        label = score[middle] > (score[order[0]] + score[order[-1]]) / 2
        quality["remainder_accuracy"] = float((machine.predict(w[middle]) == label).mean())
    held_out = ~np.isnan(score)
    # The middle counts as held out: figures on the chosen extremes alone would flatter.
    held_out[train] = False
    return Boundary(normal, held_out, quality)


def project_out(vector: np.ndarray, conditions: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Return the unit vector nearest to `vector` that is orthogonal to all `conditions`.

    n' = n - B^T (B B^T)^-1 B n with the conditions as rows of B, normalised.

    Args:
        vector: [d].
        conditions: [k, d], k may be 0.

    Raises:
        ParamsError: nothing of `vector` is left: it is a mix of the conditions.
    """
    if len(conditions):
        # An orthonormal basis of the conditions gives the same projection as the formula, without the inverse of B B^T,
        # whose condition number is that of B squared: correlated conditions, such as age and glasses, are far from
        # orthogonal.
        basis, _ = np.linalg.qr(np.asarray(conditions, dtype=np.float64).T)
        # Twice: one pass leaves rounding errors as large as the part that was removed times the precision.
        rest = vector - basis @ (basis.T @ vector)
        rest = rest - basis @ (basis.T @ rest)
    else:
        rest = vector
    length = np.linalg.norm(rest)
    # Of a vector that is a mix of the conditions, rounding leaves about 1e-16 of its length; normalising that would
    # give a random direction.
    if length < 1e-6 * np.linalg.norm(vector):
        raise ParamsError("condition_on: nothing is left of the direction once the conditions are projected out")
    return rest / length


def _response(vector: np.ndarray, codes: np.ndarray, rows: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    """Return how the score follows the codes along `vector` on some rows: correlation, change per unit (regression)."""
    rows = rows & ~np.isnan(score)
    along = codes[rows] @ vector
    covariance = np.cov(along, score[rows])
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    return {
        "correlation": float(correlation),
        # The slope of the regression line, times the length of a step of amount 1.
        "change_per_unit": float(covariance[0, 1] / covariance[0, 0] * step_length(codes, vector)),
    }
