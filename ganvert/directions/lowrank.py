"""LowRankGAN: directions that change a region and leave the rest of the picture alone (Zhu et al. 2021, section 3).

How the pixels of a region change with the code is the Jacobian J of the picture there, its channels averaged. The part
of ``J^T J`` that robust PCA finds to be of low rank spans the attributes of the region; what is orthogonal to the
attributes of everything outside is their null space. A direction is an attribute of the region, projected onto the null
space of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvert.base.errors import ParamsError
from ganvert.base.registry import lookup
from ganvert.compute.progress import progress
from ganvert.directions.base import Direction, FinderInputs, row_range, signed, step_length
from ganvert.directions.face_parts import label_samples
from ganvert.directions.ganspace import principal_components
from ganvert.faces.parsing import REGIONS, find_region
from ganvert.generators.base import Generator
from ganvert.images import area_resize

__all__ = ["LowRankOptions", "Region", "find_lowrank", "low_rank_part", "null_projection"]

_STEP = 0.1  # of a central difference, in standard deviations of the samples: small beside every edit
_BATCH = 4


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of the picture: a part of the face, a mask or a box.

    Attributes:
        part: what face parsing finds on each sample, such as ``mouth``, `eyes` or `hair`
            (:data:`ganvert.faces.parsing.REGIONS`).
        mask: a picture in the folder of inputs, white inside.
        box: left, top, right and bottom as shares of the side, such as 0.27, 0.43, 0.73, 0.51 for the eyes of FFHQ.
    """

    part: str | None = None
    mask: str | None = None
    box: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if [self.part, self.mask, self.box].count(None) != 2:
            raise ParamsError("wanted one of part (of the face), mask (a picture in the folder of inputs) and box")
        if self.part is not None:
            lookup(REGIONS, self.part, "region of a face")
        if self.box is not None:
            left, top, right, bottom = self.box
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise ParamsError(f"box: wanted left < right and top < bottom, from 0 to 1, got {list(self.box)}")


@dataclass(frozen=True, kw_only=True)
class LowRankOptions:
    """params.yaml: discover.methods.lowrank.

    Attributes:
        regions: a name for each region; its directions are ``lowrank_NAME_0`` and on.
        components: how many for each region.
        images: how many samples' Jacobians are averaged. The authors find that directions of one picture serve others.
        px: side of the picture whose pixels are compared; the authors' 256 tells little more and takes longer.
        dimensions: the principal components of W in which directions are sought. Each costs two pictures for every
            image; the last of all w_dim hardly vary, and an amount in standard deviations along them is invisible.
        sparsity: weight of the sparse part in robust PCA, relative to ``1 / sqrt(dimensions)``. The authors' 1 / 60 at
            512 dimensions is 0.377.
        outside_rank: dimensions of the attributes outside a region; None for the rank that robust PCA finds.
        first_row: first row of ws that the directions move.
        last_row: one past the last; None for all.
    """

    regions: dict[str, Region] = field(default_factory=dict)
    components: int = 3
    images: int = 1
    px: int = 64
    dimensions: int = 100
    sparsity: float = 0.377
    outside_rank: int | None = None
    first_row: int = 0
    last_row: int | None = None

    def __post_init__(self) -> None:
        if not self.regions:
            raise ParamsError("regions: wanted at least one, such as eyes: {box: [0.27, 0.43, 0.73, 0.51]}")
        for name in ("components", "images", "px", "dimensions"):
            if getattr(self, name) < 1:
                raise ParamsError(f"{name}: wanted at least 1, got {getattr(self, name)}")
        if not self.sparsity > 0:
            raise ParamsError(f"sparsity: wanted a positive number, got {self.sparsity}")
        if self.components > self.dimensions or not 0 <= (self.outside_rank or 0) < self.dimensions:
            raise ParamsError(f"components and outside_rank: wanted fewer than the {self.dimensions} dimensions")

    @property
    def masks(self) -> tuple[str, ...]:
        """Pictures of the regions that are masks."""
        return tuple(region.mask for region in self.regions.values() if region.mask is not None)

    @property
    def parser(self) -> bool:
        """Whether regions are parts of faces."""
        return any(region.part is not None for region in self.regions.values())

    def names(self) -> list[str]:
        """Return the names of the directions."""
        return [f"lowrank_{name}_{k}" for name in self.regions for k in range(self.components)]


def find_lowrank(inputs: FinderInputs, options: LowRankOptions) -> list[Direction]:
    """Return the directions of W of each region.

    Raises:
        ParamsError: more dimensions or images than the samples hold, a region without pixels or without an outside, or
            one whose attributes all change the outside as well.
    """
    samples, generator = inputs.samples, inputs.generator
    assert generator is not None  # declared in the registry
    rows = row_range(options.first_row, options.last_row, samples.num_ws, "lowrank")
    basis, variances = principal_components(samples.w)
    if options.dimensions > len(basis) or options.images > len(samples.w):
        raise ParamsError(
            f"dimensions and images: wanted at most {len(basis)} and {len(samples.w)} of these samples, "
            f"got {options.dimensions} and {options.images}"
        )
    codes = samples.w[: options.images]
    labels: Sequence[np.ndarray | None] = [None] * options.images
    if options.parser:
        assert inputs.parser is not None  # declared in the registry
        codes, labels = label_samples(generator, samples.w, inputs.parser, options.images)
    px = min(options.px, generator.resolution)
    regions = {
        name: [_weights(region, inputs.masks, of_sample, px, name) for of_sample in labels]
        for name, region in options.regions.items()
    }
    basis, deviations = basis[: options.dimensions], np.sqrt(variances[: options.dimensions])
    jacobians = [
        jacobian(generator, w, basis, deviations * _STEP, rows, options.px)
        for w in progress(codes, len(codes), "Jacobians")
    ]
    directions = []
    for name, inside in regions.items():
        vectors, figures = _of_region(jacobians, inside, name, options)
        for k, (vector, quality) in enumerate(zip(vectors @ basis, figures, strict=True)):
            unit = step_length(samples.w, vector)
            directions.append(Direction(f"lowrank_{name}_{k}", "w", "lowrank", vector, unit, *rows, quality))
    return directions


def _weights(region: Region, masks: Mapping[str, Tensor], labels: np.ndarray | None, px: int, name: str) -> np.ndarray:
    """Return which pixels [px * px] of a sample's reduced picture lie inside a region."""
    if region.part is not None:
        assert labels is not None  # there is a parser where there is a part
        found = torch.from_numpy(find_region(labels, region.part))[None, None].float()
        weights = area_resize(found, px)[0, 0].double().numpy()
    elif region.mask is not None:
        weights = area_resize(lookup(masks, region.mask, "mask"), px)[0, 0].cpu().double().numpy()
    else:
        assert region.box is not None  # one of both is given
        left, top, right, bottom = (edge * px for edge in region.box)
        centres = np.arange(px) + 0.5
        weights = np.outer((top <= centres) & (centres < bottom), (left <= centres) & (centres < right))
    inside = weights.reshape(-1) >= 0.5
    if inside.all() or not inside.any():
        raise ParamsError(f"regions.{name}: wanted pixels inside and outside, got {inside.sum()} of {inside.size}")
    return inside


@torch.no_grad()
def jacobian(
    generator: Generator, w: np.ndarray, basis: np.ndarray, steps: np.ndarray, rows: tuple[int, int], px: int
) -> np.ndarray:
    """Return the change of the grey picture per unit along each vector of a basis, float64 [px * px, K].

    Args:
        generator: draws the pictures.
        w: [w_dim], where the derivative is taken, by central differences: of every architecture, and without the
            memory of a backward pass.
        basis: unit vectors [K, w_dim].
        steps: [K], the length of the difference.
        rows: rows [first, last) of ws that move.
        px: side of the reduced picture.
    """
    device = generator.w_avg
    start = torch.from_numpy(w).to(device).expand(generator.num_ws, -1)
    moves = torch.from_numpy(basis * steps[:, None]).to(device)
    columns = []
    for part in moves.split(_BATCH):
        ws = start.expand(2 * len(part), -1, -1).clone()
        ws[:, rows[0] : rows[1]] += torch.cat([part, -part])[:, None]
        pictures = generator.synthesize(ws=ws, px=px).mean(dim=1, keepdim=True)
        grey = area_resize(pictures, min(px, pictures.shape[-1])).flatten(1).double()
        columns.append((grey[: len(part)] - grey[len(part) :]).cpu().numpy())
    return np.concatenate(columns).T / (2 * steps)


def _of_region(
    jacobians: list[np.ndarray], inside: list[np.ndarray], name: str, options: LowRankOptions
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return unit vectors [components, K] in the basis of the Jacobians, and figures of each."""
    pairs = list(zip(jacobians, inside, strict=True))
    within, outside = (
        np.mean([part[pixels].T @ part[pixels] / pixels.sum() for part, pixels in chosen], axis=0)
        for chosen in (pairs, [(part, ~pixels) for part, pixels in pairs])
    )
    weight = options.sparsity / np.sqrt(len(within))
    attributes, _ = _spanned(low_rank_part(within, weight))
    others, rank = _spanned(low_rank_part(outside, weight))
    rank = rank if options.outside_rank is None else options.outside_rank
    projected = null_projection(attributes[: options.components], others[:rank])
    kept = np.linalg.norm(projected, axis=1)
    if (kept < 1e-3).any():
        raise ParamsError(
            f"regions.{name}: attribute {int(kept.argmin())} has nothing that leaves the rest of the picture alone; "
            f"lower outside_rank (it is {rank} of {len(within)} dimensions), components, or raise dimensions"
        )
    vectors = signed(projected / kept[:, None])
    # Of a change that is zero, rounding may leave a negative square.
    changes = [[float(np.sqrt(max(vector @ part @ vector, 0))) for part in (within, outside)] for vector in vectors]
    return vectors, [
        # The root mean square change of the grey pictures per unit of length, in their range of -1 to 1.
        {"outside_rank": rank, "kept": float(share), "inside_change": change[0], "outside_change": change[1]}
        for share, change in zip(kept, changes, strict=True)
    ]


def _spanned(matrix: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the eigenvectors [K, K] of a symmetric matrix by falling eigenvalue, and its rank."""
    values, columns = np.linalg.eigh(matrix)
    # Robust PCA sets the small ones to zero; what rounding leaves of them is not part of the rank.
    return columns.T[::-1], int((values > 1e-6 * max(values[-1], 0)).sum())


def null_projection(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return vectors [N, K] without their parts along orthonormal `others` [R, K]."""
    return vectors - vectors @ others.T @ others


def low_rank_part(matrix: np.ndarray, weight: float, tolerance: float = 1e-7, iterations: int = 10_000) -> np.ndarray:
    """Return L of ``M = L + S`` with the least ``|L|_* + weight |S|_1`` (principal component pursuit).

    By the inexact augmented Lagrangian (Lin, Chen and Ma 2010, algorithm 5), whose constants and the tolerance are
    those of the authors of LowRankGAN.

    Args:
        matrix: symmetric [K, K]; so are L and S.
        weight: of the sparse part.
        tolerance: of ``|M - L - S|`` relative to ``|M|``.
        iterations: the most.
    """
    spectral = np.linalg.norm(matrix, 2)
    if spectral == 0:
        return matrix
    multiplier = matrix / max(spectral, np.abs(matrix).max() / weight)
    sparse, penalty = np.zeros_like(matrix), 1.25 / spectral
    low = sparse
    for _ in range(iterations):
        # A symmetric matrix needs no singular values: those are its eigenvalues' magnitudes, and eigh is faster.
        values, columns = np.linalg.eigh(matrix - sparse + multiplier / penalty)
        low = (columns * (np.sign(values) * np.maximum(np.abs(values) - 1 / penalty, 0))) @ columns.T
        rest = matrix - low + multiplier / penalty
        sparse = np.sign(rest) * np.maximum(np.abs(rest) - weight / penalty, 0)
        residual = matrix - low - sparse
        multiplier = multiplier + penalty * residual
        penalty = min(penalty * 1.5, 1e7 * 1.25 / spectral)
        if np.linalg.norm(residual) < tolerance * np.linalg.norm(matrix):
            break
    return low
