"""A fit of all scores: ridge regression (Hoerl and Kennard 1970) of the score on the codes.

The normal is that of the hyperplanes of equal predicted score. Where the SVM sees which end a sample lies at, the
regression sees every sample and its score, so that a few thousand samples decide the direction better.
"""

from __future__ import annotations

import numpy as np

from ganvert.base.errors import ParamsError
from ganvert.base.seeds import item_seed
from ganvert.directions.boundary import Boundary, FitOptions, halves_of

__all__ = ["fit_ridge"]

FEWEST = 20  # scored samples
FOLDS = 10
#: Penalties to choose from. The upper ones leave the covariance of codes and score, which is all that a few
#: photographs decide.
STRENGTHS = 10.0 ** np.arange(-2, 4.1, 0.25)


def fit_ridge(codes: np.ndarray, score: np.ndarray, name: str, options: FitOptions) -> Boundary:
    """Fit all scored samples, each of ten folds by the others, and two halves.

    Args:
        codes: [N, d]; d may be larger than N.
        score: [N], nan where unknown; such rows are left out.
        name: of the attribute, for messages.
        options: strength and seed.

    Raises:
        ParamsError: fewer than 20 scored samples, or a score that is the same throughout.
    """
    known = ~np.isnan(score)
    if known.sum() < FEWEST:
        raise ParamsError(f"{name}: {known.sum()} of {len(score)} have a score, wanted at least {FEWEST}")
    if np.ptp(score[known]) == 0:
        raise ParamsError(f"{name}: every score is {score[known][0]:g}: there is nothing to tell apart")
    strength = options.strength or _chosen(codes[known], score[known])
    # The same folds for all attributes: a condition's fold has not seen the attribute's held-out samples either.
    order = np.random.default_rng(item_seed("ridge", "folds", options.seed)).permutation(len(score))
    fold_of = np.empty(len(score), dtype=int)
    fold_of[order] = np.arange(len(score)) % FOLDS
    folds, predicted = [], np.full(len(score), np.nan)
    for fold in range(FOLDS):
        rest, held_out = known & (fold_of != fold), known & (fold_of == fold)
        slopes = _slopes(codes[rest], score[rest], strength)
        predicted[held_out] = (codes[held_out] - codes[rest].mean(axis=0)) @ slopes
        # Rows without a score are held out too: another attribute's figures may need them.
        folds.append((_unit(slopes), fold_of == fold))
    quality = {"validation_accuracy": _accuracy(predicted[known], score[known]), "strength": strength}
    return Boundary(
        _unit(_slopes(codes[known], score[known], strength)), folds, quality, _halves(codes, score, strength, options)
    )


def _slopes(codes: np.ndarray, score: np.ndarray, strength: float) -> np.ndarray:
    """Return the ridge regression's coefficients [d]."""
    from sklearn.linear_model import Ridge

    centred = codes - codes.mean(axis=0)
    # In units of the codes' variance and number, so that one strength means the same for any space and sample.
    penalty = strength * float((centred**2).sum()) / codes.shape[1]
    slopes: np.ndarray = Ridge(alpha=penalty, fit_intercept=False).fit(centred, score - score.mean()).coef_
    return slopes


def _chosen(codes: np.ndarray, score: np.ndarray) -> float:
    """Return the largest strength whose error is within two standard errors of the least (leave-one-out).

    After the rule of Breiman et al. 1984: among fits that predict equally well, the one that follows chance least.
    """
    from sklearn.linear_model import RidgeCV

    centred = codes - codes.mean(axis=0)
    scale = float((centred**2).sum()) / codes.shape[1]
    model = RidgeCV(alphas=STRENGTHS * scale, fit_intercept=True, store_cv_results=True)
    errors = model.fit(centred, (score - score.mean()) / score.std()).cv_results_
    mean, deviation = errors.mean(axis=0), errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
    best = int(mean.argmin())
    return float(STRENGTHS[np.flatnonzero(mean <= mean[best] + 2 * deviation[best])[-1]])


def _halves(codes: np.ndarray, score: np.ndarray, strength: float, options: FitOptions) -> np.ndarray | None:
    """Return the normals [2, d] of two halves, or None where a half has too few scores or one score throughout."""
    normals = []
    for half in halves_of(len(score), options.seed):
        rows = half[~np.isnan(score[half])]
        if len(rows) < FEWEST // 2 or np.ptp(score[rows]) == 0:
            return None
        normals.append(_unit(_slopes(codes[rows], score[rows], strength)))
    return np.stack(normals)


def _accuracy(predicted: np.ndarray, score: np.ndarray) -> float:
    """Return how many samples lie on the right side of the mean score: the mean of the shares above and below it.

    Of what few have, such as glasses, a share of all would be high for a fit that finds none of them.
    """
    above = score > score.mean()
    return float(((predicted[above] > 0).mean() + (predicted[~above] <= 0).mean()) / 2)


def _unit(vector: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    # No covariance at all, such as a score of photographs whose codes are equal.
    if length == 0:
        raise ParamsError("ridge: the score does not depend on the codes")
    return vector / length
