"""Equation 6 against the pseudo-inverse and against its own definition."""

from __future__ import annotations

import numpy as np
import pytest

from ganvert.base.errors import ShapeError
from ganvert.directions.transfer import carry_each, carry_jointly


def unit_rows(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_complete_basis_carried_jointly_is_the_inverse_mapping() -> None:
    # w = A z: with x = V (w - mu) and V complete, z = A^-1 V^T x, so direction k is column k of pinv(V A).
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 10))
    z -= z.mean(axis=0)
    matrix = np.eye(10) + 0.3 * rng.normal(size=(10, 10))
    basis = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    got = carry_jointly(basis, z @ matrix.T + 5.0, z)
    assert got == pytest.approx(unit_rows(np.linalg.pinv(basis @ matrix).T), abs=1e-9)


def test_each_alone_minimises_equation_6() -> None:
    rng = np.random.default_rng(1)
    z, vectors = rng.normal(size=(200, 8)), unit_rows(rng.normal(size=(3, 8)))
    w = np.tanh(z @ rng.normal(size=(8, 8)))
    for vector, got in zip(vectors, carry_each(vectors, w, z), strict=True):
        x = (w - w.mean(axis=0)) @ vector
        best = np.linalg.lstsq(x[:, None], z, rcond=None)[0]  # argmin_n sum_j |n x_j - z_j|^2, by LAPACK
        assert got == pytest.approx(unit_rows(best)[0], abs=1e-12)


def test_white_samples_of_a_linear_mapping_give_the_transpose() -> None:
    # With sum z z^T proportional to the identity, sum_j x_j z_j is proportional to A^T v exactly.
    rng = np.random.default_rng(2)
    z = np.concatenate([np.eye(6), -np.eye(6)])
    matrix, vectors = rng.normal(size=(6, 6)), unit_rows(rng.normal(size=(2, 6)))
    assert carry_each(vectors, z @ matrix.T, z) == pytest.approx(unit_rows(vectors @ matrix), abs=1e-12)


def test_what_does_not_fit_is_refused() -> None:
    rng = np.random.default_rng(3)
    with pytest.raises(ShapeError, match="wanted vectors"):
        carry_each(np.eye(3), rng.normal(size=(5, 4)), rng.normal(size=(5, 4)))
    with pytest.raises(ShapeError, match="do not vary"):
        carry_each(np.eye(3), np.zeros((5, 3)), rng.normal(size=(5, 3)))
    with pytest.raises(ShapeError, match="as many samples"):
        carry_jointly(np.eye(4), rng.normal(size=(3, 4)), rng.normal(size=(3, 4)))
