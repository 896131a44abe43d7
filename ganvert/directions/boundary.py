"""What a linear fit of scores gives, however it is fitted, and the figures of a direction that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from ganvert.base.errors import ParamsError
from ganvert.base.seeds import item_seed

__all__ = ["Boundary", "Fit", "FitOptions", "Fitted", "halves_of", "judged", "project_out", "response"]


#: The names of :data:`ganvert.directions.interfacegan.FITS`.
Fitted = Literal["svm", "ridge"]


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How scores are fitted.

    Attributes:
        fit: svm (the paper's) or ridge.
        share: svm: of the scored samples at each end that train and validate (above 1: a count), at most half. The
            paper's 0.02 is of 500,000; of a few thousand it would leave fewer samples than dimensions.
        C: svm. The paper's 1 overfits a few thousand samples: from two disjoint sets of 980 samples of the FFHQ
            generator, C = 1 finds smile normals with a cosine of 0.45 and 0.01 ones with 0.75, at the same held-out
            correlation of 0.79; its edits also change identity less for the same smile.
        strength: ridge: the penalty, as a multiple of the codes' mean variance; None chooses it by cross-validation.
        seed: of the splits.
    """

    fit: Fitted = "svm"
    share: float = 0.3
    C: float = 0.01
    strength: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fitted):
            raise ParamsError(f"fit: wanted one of {', '.join(get_args(Fitted))}, got {self.fit!r}")
        if self.share <= 0 or self.C <= 0:
            raise ParamsError(f"share and C: wanted positive numbers, got {self.share} and {self.C}")
        if self.strength is not None and self.strength <= 0:
            raise ParamsError(f"strength: wanted a positive number, or null to choose one, got {self.strength}")


@dataclass(frozen=True, eq=False)
class Boundary:
    """A fitted hyperplane of a space.

    Attributes:
        normal: [d], unit length; along it the score rises.
        folds: fits that judge it: a normal [d] and the samples, bool [N], that the fit has not seen.
        quality: how well the fits separate samples that they have not seen.
        halves: [2, d], the normals of two halves of the samples that share none; None for too few samples. Two fits
            that share no sample agree as far as the samples, and not chance, decide the direction. In hundreds of
            dimensions they may separate their own samples equally well and yet point elsewhere. A direction of all
            samples is closer to the true one than either half's.
    """

    normal: np.ndarray
    folds: Sequence[tuple[np.ndarray, np.ndarray]]
    quality: dict[str, float]
    halves: np.ndarray | None = None


#: Codes [N, d], scores [N] (nan where unknown; such rows are left out), the attribute's name for messages, options.
Fit = Callable[[np.ndarray, np.ndarray, str, FitOptions], Boundary]


def halves_of(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of two halves, the same for all attributes, as conditions are fitted on them too."""
    order = np.random.default_rng(item_seed("interfacegan", "halves", seed)).permutation(count)
    return order[::2], order[1::2]


def project_out(
    vector: np.ndarray, conditions: np.ndarray | Sequence[np.ndarray], shares: Sequence[float] | None = None
) -> np.ndarray:
    """Return the unit vector nearest to `vector` that is orthogonal to all `conditions`, or nearer to that.

    n' = n - B^T (B B^T)^-1 S B n with the conditions as rows of B and the shares on the diagonal of S, normalised. The
    product of n' with a condition is 1 - share of that of n, before it is normalised.

    Args:
        vector: [d].
        conditions: [k, d], k may be 0.
        shares: [k], 0 to 1, of every condition; None for 1 each, right angles.

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
    if shares is not None and len(conditions):
        # What stays is the shortest vector with these products, which lies in the space of the conditions.
        rows = np.asarray(conditions, dtype=np.float64)
        rest = rest + np.linalg.lstsq(rows, (1 - np.asarray(shares)) * (rows @ vector), rcond=None)[0]
    length = np.linalg.norm(rest)
    # Of a vector that is a mix of the conditions, rounding leaves about 1e-16 of its length; normalising that would
    # give a random direction.
    if length < 1e-6 * np.linalg.norm(vector):
        raise ParamsError("condition_on: nothing is left of the direction once the conditions are projected out")
    return rest / length


def judged(
    codes: np.ndarray,
    boundaries: Sequence[Boundary],
    carry: Callable[[np.ndarray, np.ndarray], np.ndarray],
    shares: Sequence[float] | None = None,
) -> np.ndarray:
    """Return the codes' coordinates [N] along directions that have not seen them, nan where there is none.

    Args:
        codes: [N, d].
        boundaries: the attribute's and then its conditions'.
        carry: ``(normals, rows) -> normals``: takes normals [k, .] to the space of `codes` by means of some rows only.
        shares: of the conditions, see :func:`project_out`.
    """
    along = np.full(len(codes), np.nan)
    # Shifted by one constant for all folds: each fold's direction has an offset of its own, which is no response.
    codes = codes - codes.mean(axis=0)
    for fold, (_, held_out) in enumerate(boundaries[0].folds):
        normals = carry(np.stack([boundary.folds[fold][0] for boundary in boundaries]), ~held_out)
        along[held_out] = codes[held_out] @ project_out(normals[0], normals[1:], shares)
    return along


def response(along: np.ndarray, score: np.ndarray, unit: float) -> dict[str, Any]:
    """Return how a score follows the coordinate `along`: correlation, and change for a step of length `unit`."""
    rows = ~np.isnan(along) & ~np.isnan(score)
    covariance = np.cov(along[rows], score[rows])
    spread = np.sqrt(covariance[0, 0] * covariance[1, 1])
    return {
        "correlation": float(covariance[0, 1] / spread) if spread else 0.0,
        # The slope of the regression line times the step.
        "change_per_unit": float(covariance[0, 1] / covariance[0, 0] * unit),
    }
