"""GANSpace: principal components of W as directions (Härkönen et al. 2020, section 2; defaults of their code).

The covariance of the samples given is exact and in float64. Signs, which PCA leaves open, are fixed so that the
entry of largest magnitude is positive. Components depend on the samples: match two fits by cosine, not by index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ganvert.base.errors import ParamsError
from ganvert.directions.base import Direction, DirectionSpace, FinderInputs, row_range, signed, step_length
from ganvert.directions.transfer import carry_each, carry_jointly

__all__ = ["GanspaceOptions", "find_ganspace", "principal_components"]


@dataclass(frozen=True, kw_only=True)
class GanspaceOptions:
    """params.yaml: discover.methods.ganspace.

    Attributes:
        components: how many, named ``ganspace_0`` (largest variance) and on.
        spaces: w, and z for the components carried there.
        transfer: to Z each component alone (equation 6 as printed) or all at once (as the F/Z+ code does).
        first_row: first row of ws that the directions move.
        last_row: one past the last; None for all.
    """

    components: int = 10
    spaces: tuple[DirectionSpace, ...] = ("w", "z")
    transfer: Literal["each", "jointly"] = "each"
    first_row: int = 0
    last_row: int | None = None

    def __post_init__(self) -> None:
        if self.components < 1:
            raise ParamsError(f"components: wanted at least 1, got {self.components}")
        if not self.spaces:
            raise ParamsError("spaces: wanted w, z or both, got none")

    def names(self) -> list[str]:
        """Return the names of the directions, by falling variance."""
        return [f"ganspace_{k}" for k in range(self.components)]


def find_ganspace(inputs: FinderInputs, options: GanspaceOptions) -> list[Direction]:
    """Return the first principal components of W, and the same carried to Z.

    Raises:
        ParamsError: more components than the samples hold, or rows the generator does not have.
    """
    samples = inputs.samples
    first, last = row_range(options.first_row, options.last_row, samples.num_ws, "ganspace")
    # In W, because PCA of Z finds nothing: z is isotropic, and all of its directions have the same variance.
    vectors, variances = principal_components(samples.w)
    if options.components > len(vectors):
        raise ParamsError(
            f"components: wanted at most {len(vectors)} of {len(samples.w)} samples in {samples.w.shape[1]}-d, "
            f"got {options.components}"
        )
    basis = {"w": vectors[: options.components]}
    if "z" in options.spaces:
        carry = carry_each if options.transfer == "each" else carry_jointly
        basis["z"] = carry(basis["w"], samples.w, samples.z)
    # The unit is measured in the space that a direction moves: the deviation of a component in W says nothing about the
    # direction of Z that predicts it.
    codes = {"w": samples.w, "z": samples.z}
    # A direction of Z keeps the share of its component, by which both are ranked.
    share = variances / variances.sum()
    return [
        Direction(
            name=options.names()[k],
            space=space,
            method="ganspace",
            vector=vector,
            unit=step_length(codes[space], vector),
            first_row=first,
            last_row=last,
            quality={"explained_variance": float(share[k])},
        )
        for space in options.spaces
        for k, vector in enumerate(basis[space])
    ]


def principal_components(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the PCA of codes [N, d] in float64.

    Returns:
        Unit rows [K, d] by falling variance, K = min(N - 1, d), and their variances [K] (divided by N - 1).
    """
    w = np.asarray(w, dtype=np.float64)
    centred = w - w.mean(axis=0)
    # Centred samples span one dimension less than there are of them. Beyond it variances are 0 and directions
    # arbitrary.
    count = min(len(w) - 1, w.shape[1])
    if count < 1:
        raise ParamsError(f"ganspace: wanted at least 2 samples, got {len(w)}")
    # eigh sorts by rising eigenvalue and puts eigenvectors into columns; directions are rows by falling variance.
    variances, columns = np.linalg.eigh(centred.T @ centred / (len(w) - 1))
    # Rounding can make the smallest eigenvalues of a covariance slightly negative.
    return signed(columns.T[::-1][:count]), variances[::-1][:count].clip(min=0)
