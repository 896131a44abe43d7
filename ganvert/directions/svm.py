"""The papers' fit: a linear SVM between the highest and the lowest scores (Shen et al. 2020, section 3).

Hinge loss, libsvm, on codes as they are, not standardised: the normal is one of the space itself.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ganvert.base.errors import ParamsError
from ganvert.base.seeds import item_seed
from ganvert.directions.boundary import Boundary, FitOptions, halves_of

__all__ = ["fit_svm"]

TRAIN_SHARE = 0.7  # the rest of the chosen samples validates, as in the authors' train_boundary.py
FEWEST = 10  # samples at each end


def fit_svm(codes: np.ndarray, score: np.ndarray, name: str, options: FitOptions) -> Boundary:
    """Fit the SVM of one attribute, and those of two halves of the samples.

    Args:
        codes: [N, d].
        score: [N], nan where unknown; such rows are left out.
        name: of the attribute, for the split's seed and messages.
        options: share, C and seed.

    Raises:
        ParamsError: fewer than 10 samples at each end, or a score that is the same throughout.
    """
    boundary = _fit(codes, score, name, options)
    try:
        halves = [_fit(codes[half], score[half], name, options).normal for half in halves_of(len(score), options.seed)]
    except ParamsError:  # the fit of all samples has passed: a half has too few, or too many of one score
        return boundary
    return dataclasses.replace(boundary, halves=np.stack(halves))


def _fit(codes: np.ndarray, score: np.ndarray, name: str, options: FitOptions) -> Boundary:
    from sklearn.svm import SVC

    scored = np.flatnonzero(~np.isnan(score))
    # Stable: equal scores stay in the order of the samples, on every machine.
    order = scored[np.argsort(score[scored], kind="stable")]
    # Only the extremes are fitted. Between them a score tells little more than the noise of the predictor, and samples
    # labelled by it would turn the hyperplane.
    count = int(len(order) * options.share if options.share <= 1 else options.share)
    count = min(count, len(order) // 2)
    if count < FEWEST:
        raise ParamsError(
            f"interfacegan {name}: {len(order)} of {len(score)} samples have a score and share {options.share} takes "
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
    machine = SVC(kernel="linear", C=options.C).fit(codes[train], np.repeat([0, 1], cut))
    # libsvm's normal points towards label 1, the high scores. The intercept is dropped: it tells which side a code is
    # on, and an edit moves along the normal from wherever the code is.
    normal = machine.coef_[0] / np.linalg.norm(machine.coef_[0])

    validation = np.concatenate([low[cut:], high[cut:]])
    quality = {"validation_accuracy": float(machine.score(codes[validation], np.repeat([0, 1], count - cut)))}
    if len(middle):
        # The authors' label there: above the middle of the range of all scores.
        label = score[middle] > (score[order[0]] + score[order[-1]]) / 2
        quality["remainder_accuracy"] = float((machine.predict(codes[middle]) == label).mean())
    held_out = ~np.isnan(score)
    # The middle counts as held out: figures on the chosen extremes alone would flatter.
    held_out[train] = False
    return Boundary(normal, [(normal, held_out)], quality)
