"""Carrying directions of W to Z by regression (the F/Z+ paper, arXiv 2307.08995, equation 6).

The mapping network is not linear, so a W direction has no exact counterpart in Z. Equation 6 asks for the z vector
that best predicts the samples' z from their coordinate x_j = v . (w_j - mu) along the W direction v:
n = argmin sum_j |n x_j - z_j|^2. Both directions of the result are unit vectors; their sign follows v.
"""

from __future__ import annotations

import numpy as np

from ganvert.base.errors import ShapeError

__all__ = ["carry_each", "carry_jointly"]


def carry_each(vectors: np.ndarray, w: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Carry each direction alone, equation 6 to the letter: n = sum_j x_j z_j / sum_j x_j^2.

    Args:
        vectors: directions of W, [K, w_dim].
        w: samples [N, w_dim]; mu is their mean.
        z: the z they were mapped from, [N, z_dim].

    Returns:
        float64 [K, z_dim], unit rows.

    Raises:
        ShapeError: shapes do not go together, or a direction along which the samples do not vary.
    """
    coordinates = _coordinates(vectors, w, z)
    # The divisor only scales a row, and rows become unit vectors. z needs no centring: the coordinates of one direction
    # sum to 0, so that a constant added to every z cancels.
    return _unit(coordinates.T @ np.asarray(z, dtype=np.float64))


def carry_jointly(vectors: np.ndarray, w: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Carry all directions at once by least squares, as in the official F/Z+ and GANSpace code.

    Coordinates are divided by their standard deviations, z is regressed on them together, and the rows of the
    solution are normalised. Equals :func:`carry_each` when the coordinates are uncorrelated, as PCA's are.
    Arguments, result and errors as there; needs N >= K.
    """
    coordinates = _coordinates(vectors, w, z)
    if len(coordinates) < coordinates.shape[1]:
        raise ShapeError(f"transfer: {coordinates.shape[1]} directions at once need as many samples, got {len(z)}")
    # The division scales the solution's rows, which are normalised anyway. It matters for rounding: the deviations
    # along principal components differ by orders of magnitude.
    solution, *_ = np.linalg.lstsq(coordinates / coordinates.std(axis=0), np.asarray(z, dtype=np.float64), rcond=None)
    return _unit(solution)


def _coordinates(vectors: np.ndarray, w: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the samples' coordinates x along the directions, [N, K] in float64; each column sums to 0."""
    if vectors.ndim != 2 or w.ndim != 2 or vectors.shape[1] != w.shape[1] or len(w) != len(z):
        raise ShapeError(
            "transfer: wanted vectors [K, w_dim], w [N, w_dim], z [N, z_dim], "
            f"got {list(vectors.shape)}, {list(w.shape)}, {list(z.shape)}"
        )
    w = np.asarray(w, dtype=np.float64)
    coordinates = (w - w.mean(axis=0)) @ np.asarray(vectors, dtype=np.float64).T
    # Such a coordinate predicts nothing: its row would be 0 / 0.
    if not (coordinates.std(axis=0) > 0).all():
        raise ShapeError("transfer: the samples do not vary along one of the directions; give more samples")
    return coordinates


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
