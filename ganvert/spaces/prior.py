"""How the mapping network's output is distributed: mean and principal axes of the deactivated w, for P and P_N.

Deactivation undoes the mapping's last leaky ReLU (slope 0.2, so 5 backwards); what comes out is nearly Gaussian
(Zhu et al. 2020, "Improved StyleGAN Embedding"; BDInvert). All sums are float64.
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
from ganvert.base.files import atomic_path
from ganvert.base.seeds import item_seed
from ganvert.checkpoints.weights import read_weights
from ganvert.compute.progress import progress
from ganvert.generators.base import Generator

__all__ = ["FLOOR", "SAMPLES", "Prior", "activate", "deactivate", "prior", "prior_of"]

SAMPLES = 1_000_000
_CHUNK = 10_000
#: Eigenvalues below it count as it. The published StyleGAN2 statistics go down to 6.6e-8, whose inverse root is 3.9e3:
#: without a floor P_N is ruled by directions in which w does not vary.
FLOOR = 1e-8


def deactivate(w: Tensor) -> Tensor:
    """W to p: leaky ReLU of slope 5."""
    return torch.where(w >= 0, w, 5 * w)


def activate(p: Tensor) -> Tensor:
    """P to w: leaky ReLU of slope 0.2."""
    return F.leaky_relu(p, 0.2)


@dataclasses.dataclass(frozen=True)
class Prior:
    """Statistics of p, float64 on the CPU.

    Attributes:
        mean: [w_dim].
        values: [w_dim] eigenvalues of the covariance, falling, floored at :data:`FLOOR`.
        vectors: [w_dim, w_dim], one eigenvector a column.
    """

    mean: Tensor
    values: Tensor
    vectors: Tensor

    def whiten(self, w: Tensor) -> Tensor:
        """W [..., w_dim] to P_N: zero mean, unit variance, no correlation over the mapping's samples."""
        mean, scale, vectors = self._like(w)
        return (deactivate(w) - mean) @ vectors / scale

    def colour(self, v: Tensor) -> Tensor:
        """P_N [..., w_dim] to w: the inverse of :meth:`whiten`."""
        mean, scale, vectors = self._like(v)
        return activate((v * scale) @ vectors.T + mean)

    def _like(self, tensor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.mean.to(tensor), self.values.sqrt().to(tensor), self.vectors.to(tensor)


def prior_of(mean: Tensor, covariance: Tensor) -> Prior:
    """Principal axes of a mean [d] and covariance [d, d], float64; signs: the largest entry of a vector is positive."""
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0).clamp_min(FLOOR), vectors.flip(1)
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    return Prior(mean, values, vectors * largest.sign())


def _folder() -> Path:
    """``$GANVERT_PRIORS``, else a project's work folder, else the user's cache."""
    if told := os.environ.get("GANVERT_PRIORS"):
        return Path(told).expanduser()
    return Path(".work/priors") if Path("dvc.yaml").is_file() else Path.home() / ".cache" / "ganvert" / "priors"


_KNOWN: weakref.WeakKeyDictionary[Generator, Prior] = weakref.WeakKeyDictionary()


def prior(generator: Generator) -> Prior:
    """The generator's prior over a million samples, kept in a file by the generator's fingerprint.

    Codes of a tuned generator were found with the prior of the original, which therefore goes on counting.

    Raises:
        UnsupportedError: the mapping network gives every row its own w, so that there is no single W.
    """
    generator = generator if generator.untuned is None else generator.untuned
    if generator not in _KNOWN:
        if generator.rows_differ:
            raise UnsupportedError("P_N: this generator's mapping gives every row its own w; use wplus")
        label = "" if generator.label is None else f"-{generator.label}"
        path = _folder() / f"{generator.fingerprint()[:32]}{label}-{SAMPLES}.safetensors"
        if not path.exists():
            found = prior_of(*_moments(generator, SAMPLES))
            with atomic_path(path) as temporary:
                save_file({field: value.contiguous() for field, value in vars(found).items()}, temporary)
        tensors, _ = read_weights(path)
        if set(tensors) != {"mean", "values", "vectors"} or len(tensors["mean"]) != generator.w_dim:
            raise CheckpointError(f"{path}: not the statistics of this generator; delete it, they are made again")
        _KNOWN[generator] = Prior(**tensors)
    return _KNOWN[generator]


@torch.no_grad()
def _moments(generator: Generator, samples: int) -> tuple[Tensor, Tensor]:
    """Mean [d] and covariance [d, d] of p, in pieces with a seed each."""
    total = square = shift = None
    count = 0
    pieces = range(0, samples, _CHUNK)
    for start in progress(pieces, len(pieces), "statistics of the prior"):
        size = min(_CHUNK, samples - start)
        source = torch.Generator("cpu").manual_seed(item_seed("prior", start))
        z = torch.randn(size, generator.z_dim, generator=source).to(generator.w_avg)
        p = deactivate(generator.map_to_w(z)).double().cpu()
        shift = p.mean(dim=0) if shift is None else shift  # sums of squares about zero would cancel
        p -= shift
        total = p.sum(dim=0) if total is None else total + p.sum(dim=0)
        square = p.T @ p if square is None else square + p.T @ p
        count += size
    assert total is not None and square is not None and shift is not None
    mean = total / count
    return mean + shift, (square - count * torch.outer(mean, mean)) / (count - 1)
