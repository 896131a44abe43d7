"""Distribution of the mapping network's output: mean and principal axes of the deactivated w, for P and P_N.

The mapping network ends in a leaky ReLU of slope 0.2, which squeezes the negative half of w. Its inverse, a leaky ReLU
of slope 1 / 0.2 = 5, makes w nearly Gaussian (Zhu et al. 2020, "Improved StyleGAN Embedding"; BDInvert). The gain
sqrt(2) behind the activation need not be undone: the whitening absorbs it. All sums are float64.
"""

from __future__ import annotations

import dataclasses
import os
import weakref
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ganvert.base.errors import CheckpointError, UnsupportedError
from ganvert.base.files import atomic_path, user_cache
from ganvert.base.project import in_project
from ganvert.base.seeds import item_seed
from ganvert.checkpoints.weights import read_weights
from ganvert.compute.progress import progress
from ganvert.generators.base import Generator

__all__ = ["FLOOR", "SAMPLES", "Prior", "activate", "deactivate", "prior", "prior_of"]

#: A million, as in the F/Z+ paper and BDInvert, whose batches of 10,000 are used too.
SAMPLES = 1_000_000
_CHUNK = 10_000
#: Smaller eigenvalues are raised to it. The published StyleGAN2 statistics go down to 6.6e-8, whose inverse root is
#: 3.9e3: without a floor, directions in which w does not vary would dominate P_N.
FLOOR = 1e-8


def deactivate(w: Tensor) -> Tensor:
    """Map w to p with a leaky ReLU of slope 5, the inverse of :func:`activate`."""
    return torch.where(w >= 0, w, 5 * w)


def activate(p: Tensor) -> Tensor:
    """Map p to w with a leaky ReLU of slope 0.2."""
    return F.leaky_relu(p, 0.2)


@dataclasses.dataclass(frozen=True)
class Prior:
    """Statistics of p, float64 on the CPU.

    Attributes:
        mean: [w_dim].
        values: [w_dim] eigenvalues of the covariance, descending, at least :data:`FLOOR`.
        vectors: [w_dim, w_dim], one eigenvector per column.
    """

    mean: Tensor
    values: Tensor
    vectors: Tensor

    def whiten(self, w: Tensor) -> Tensor:
        """Map w [..., w_dim] to P_N, where the mapping's samples have zero mean, unit variance and no correlation."""
        mean, scale, vectors = self._like(w)
        # v = ((p - mu) C) / sqrt(lambda), codes as rows: a column of C is an axis.
        return (deactivate(w) - mean) @ vectors / scale

    def colour(self, v: Tensor) -> Tensor:
        """Map v [..., w_dim] of P_N to w; inverts :meth:`whiten`."""
        mean, scale, vectors = self._like(v)
        return activate((v * scale) @ vectors.T + mean)

    def _like(self, tensor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.mean.to(tensor), self.values.sqrt().to(tensor), self.vectors.to(tensor)


def prior_of(mean: Tensor, covariance: Tensor) -> Prior:
    """Return the prior of a mean [d] and a covariance [d, d], float64."""
    # The paper speaks of PCA: the principal axes and variances of p are the eigenvectors and eigenvalues here.
    values, vectors = torch.linalg.eigh(covariance)  # ascending
    values, vectors = values.flip(0).clamp_min(FLOOR), vectors.flip(1)
    # The sign of an eigenvector is arbitrary and differs between libraries: make its largest entry positive.
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    return Prior(mean, values, vectors * largest.sign())


def _folder() -> Path:
    """Return ``$GANVERT_PRIORS``, else the project's work folder, else the user's cache."""
    if folder := os.environ.get("GANVERT_PRIORS"):
        return Path(folder).expanduser()
    return Path(".work/priors") if in_project() else user_cache() / "priors"


_KNOWN: weakref.WeakKeyDictionary[Generator, Prior] = weakref.WeakKeyDictionary()


def prior(generator: Generator) -> Prior:
    """Return the generator's prior over a million samples; it is cached in a file named by the fingerprint.

    For a tuned generator it is the prior of the original, with which the tuned generator's codes were found.

    Raises:
        UnsupportedError: the mapping network emits a separate w for every row, so that there is no single W.
        CheckpointError: the cached file is damaged.
    """
    generator = generator if generator.untuned is None else generator.untuned
    if generator not in _KNOWN:
        if generator.rows_differ:
            raise UnsupportedError("P_N: this generator's mapping emits a separate w for every row; use wplus")
        label = "" if generator.label is None else f"-{generator.label}"
        path = _folder() / f"{generator.fingerprint()[:32]}{label}-{SAMPLES}.safetensors"
        if not path.exists():
            computed = prior_of(*_moments(generator, SAMPLES))
            with atomic_path(path) as temporary:
                save_file({field: value.contiguous() for field, value in vars(computed).items()}, temporary)
        tensors, _ = read_weights(path)
        size = generator.w_dim
        shapes = {name: list(value.shape) for name, value in tensors.items() if value.isfinite().all()}
        if shapes != {"mean": [size], "values": [size], "vectors": [size, size]} or tensors["values"].min() < FLOOR:
            raise CheckpointError(f"{path}: not the statistics of this generator; delete it to compute them again")
        _KNOWN[generator] = Prior(**tensors)
    return _KNOWN[generator]


@torch.no_grad()
def _moments(generator: Generator, samples: int) -> tuple[Tensor, Tensor]:
    """Return mean [d] and covariance [d, d] of p, summed over chunks with a seed each."""
    total = square = shift = None
    count = 0
    pieces = range(0, samples, _CHUNK)
    for start in progress(pieces, len(pieces), "statistics of the prior"):
        size = min(_CHUNK, samples - start)
        source = torch.Generator("cpu").manual_seed(item_seed("prior", start))
        z = torch.randn(size, generator.z_dim, generator=source).to(generator.w_avg)
        # Without truncation, which would narrow the distribution around w_avg.
        p = deactivate(generator.map_to_w(z)).double().cpu()
        # E[p^2] - E[p]^2 cancels where the mean is large: the first chunk's mean is taken away from all of them.
        shift = p.mean(dim=0) if shift is None else shift
        p -= shift
        total = p.sum(dim=0) if total is None else total + p.sum(dim=0)
        square = p.T @ p if square is None else square + p.T @ p
        count += size
    assert total is not None and square is not None and shift is not None
    mean = total / count
    return mean + shift, (square - count * torch.outer(mean, mean)) / (count - 1)
