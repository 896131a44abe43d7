"""Fréchet distances of sets of pictures, by features of VGG16.

They are not FID, which is defined by one Inception network: the numbers of the two cannot be compared.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ganvert.base.errors import InputError, ShapeError
from ganvert.images import area_resize, as_rgb
from ganvert.losses.lpips import load_lpips

__all__ = ["VGG16_PX", "frechet_distance", "frechet_shares", "vgg16_features"]

VGG16_PX = 256  # side at which VGG16 sees a picture
_LEAST_PX = 16  # one position is left behind its four pools


@torch.no_grad()
def vgg16_features(images: Tensor, folder: Path | None = None) -> Tensor:
    """Describe pictures by the last stage of VGG16 (relu5_3), averaged over positions.

    Args:
        images: [N, 1 or 3, h, h] about [-1, 1], of 16 px or more; clamped, and resized by area to 256 px. Smaller ones
            stay as they are: their distances compare with each other alone.
        folder: the asset folder with LPIPS's VGG16; None for the default one.

    Returns:
        float64 CPU [N, 512]; the features of a picture do not depend on the batch.

    Raises:
        ShapeError: the pictures are smaller than 16 px, or no pictures.
        AssetError: the weights are missing.
    """
    if images.ndim != 4 or min(images.shape[2:]) < _LEAST_PX:
        raise ShapeError(f"features of VGG16: wanted [N, C, h, h] of {_LEAST_PX} px or more, got {list(images.shape)}")
    network = load_lpips("vgg", folder, images.device)
    pictures = area_resize(as_rgb(images.float().clamp(-1, 1)), min(VGG16_PX, images.shape[-1]))
    # One at a time: a batch is then described exactly as its pictures are alone.
    features = [network.taps(picture[None])[-1].double().mean(dim=(2, 3)) for picture in pictures]
    return torch.cat(features).cpu() if features else torch.zeros(0, 512, dtype=torch.float64)


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Return the squared Fréchet distance of two Gaussians that have the means and covariances of two sets.

    ``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))`` (Dowson and Landau 1982; Heusel et al. 2017, arXiv 1706.08500,
    equation 6), with covariances over N - 1. Exact for sets of any size: with few rows covariances have no full rank,
    and the usual square root of their product loses its digits. Here it is a sum of singular values.

    Args:
        a: features [N, d], N of 2 or more.
        b: features [M, d], M of 2 or more.

    Returns:
        0 or more; exactly 0 for equal sets.

    Raises:
        ShapeError: the sets have other numbers of features, or less than two rows.
        InputError: a feature is not finite.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ShapeError(
            f"Fréchet distance: wanted features [N, d] and [M, d] of two rows or more, got {list(a.shape)} and "
            f"{list(b.shape)}"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise InputError("Fréchet distance: wanted finite features, got nan or infinity")
    if a.shape == b.shape and torch.equal(a, b):
        return 0.0
    a, b = a.double(), b.double()
    # S = X'X of centred rows over sqrt(N - 1). The non-zero eigenvalues of S_a S_b are the squared singular values of
    # A B', so that tr (S_a S_b)^(1/2) is their sum: no d x d matrix is formed, and no square root taken of one.
    centred = [(rows - rows.mean(dim=0)) / (len(rows) - 1) ** 0.5 for rows in (a, b)]
    spread = sum(float(rows.square().sum()) for rows in centred)
    shared = float(torch.linalg.svdvals(centred[0] @ centred[1].T).sum())
    distance = float((a.mean(dim=0) - b.mean(dim=0)).square().sum()) + spread - 2 * shared
    return max(distance, 0.0)  # rounding may leave -1e-13 of sets that are nearly equal


def frechet_shares(a: Tensor, b: Tensor) -> Tensor:
    """Return what each row of a small set has to do with its Fréchet distance to another set; their mean is the result.

    They are the jackknife's pseudo-values (Quenouille 1956; Tukey 1958), ``N d - (N - 1) d_i`` of the distance d and
    of d_i without row i. Their mean lacks the part of the distance that falls as 1 / N, which small sets have however
    equal they are (of FID: Chong and Forsyth 2020, arXiv 1911.07023), and their spread gives its interval. With fewer
    rows than features more than that remains: of one population with 512 features and deviations k^-0.6, 20 rows
    against 200 have a distance of 3.1, and shares of 1.8 in the mean. So compare sets of one size.

    Args:
        a: features [N, d], N of 3 or more.
        b: features [M, d], M of 2 or more.

    Returns:
        float64 [N]; single ones may be negative.

    Raises:
        ShapeError, InputError: as :func:`frechet_distance`.
    """
    if len(a) < 3:
        raise ShapeError(f"shares of a Fréchet distance: wanted three rows or more, got {len(a)}")
    count, whole = len(a), frechet_distance(a, b)
    rest = [frechet_distance(torch.cat([a[:i], a[i + 1 :]]), b) for i in range(count)]
    return count * whole - (count - 1) * torch.tensor(rest, dtype=torch.float64)
