"""Where the parts of a feature map go when a code moves, and what a code has beyond its rows carried along.

The parts are found again by what they are made of: a soft search over the neighbourhood for the most similar vector of
channels, in both of two feature maps that the generator itself makes. Where a part is no longer what it was, as a cheek
that long hair covers, what the code had beyond it fades. At 16 px this takes milliseconds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["carry", "displacement"]

#: Chosen on portraits of a validation set, by looks, for yaw, smile and age at two standard deviations.
SHARPNESS = 20.0  # of the search: factor of the cosine between two vectors
REACH = 1.5  # cells; standard deviation of where a part may come from
#: Likewise, with hair length and glasses: the relative change of a part at which half of the residual is left.
HALF_LEFT = 0.5


def carry(residual: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Move a map in the way in which features move, and fade it where they change.

    Args:
        residual: [N, C, h, w], such as what a code's feature has beyond that of its rows.
        before: [N, D, h, w], the generator's feature of the rows as they were.
        after: the same of the rows as they are.

    Returns:
        The map where it belongs after the move, resampled bilinearly; where nothing moved it is as it was.
    """
    moved = displacement(before, after)
    old = _moved(before, moved)
    changed = (after - old).square().sum(dim=1, keepdim=True) / old.square().sum(dim=1, keepdim=True).clamp_min(1e-12)
    # The residual corrects what the generator drew there. The more of that is gone, the less it knows.
    return _moved(residual, moved) / (1 + changed / HALF_LEFT**2)


def _moved(feature: Tensor, displaced: Tensor) -> Tensor:
    """Return a map [N, C, h, w] whose parts come from where a displacement says, resampled bilinearly."""
    height, width = feature.shape[2:]
    # A part at p after the move was at p + displacement before it.
    source = _cells(height, width).to(feature).T.unflatten(1, (height, width)) + displaced
    # grid_sample calls the first cell's centre -1 and the last one's 1.
    scale = torch.tensor([width - 1, height - 1]).to(feature).clamp(min=1)
    grid = 2 * source.permute(0, 2, 3, 1) / scale - 1
    return F.grid_sample(feature, grid, mode="bilinear", padding_mode="border", align_corners=True)


def displacement(before: Tensor, after: Tensor) -> Tensor:
    """Return from where each part of a feature map came: [N, 2, h, w] (x, y) in cells, 0 everywhere if both are equal.

    Args:
        before: [N, D, h, w].
        after: of the same shape.
    """
    height, width = before.shape[2:]
    cells = _cells(height, width).to(before)
    wanted, given = _described(after), _described(before)
    nearness = -torch.cdist(cells, cells).square() / (2 * REACH**2)

    def expected(vectors: Tensor) -> Tensor:
        return (SHARPNESS * vectors @ given.mT + nearness).softmax(dim=2) @ cells

    # A soft search does not end exactly where it starts, even where nothing moved: that bias is taken off.
    moved = (expected(wanted) - expected(given)).mT.unflatten(2, (height, width))
    return F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, 1)  # neighbours move alike


def _cells(height: int, width: int) -> Tensor:
    """Return the coordinates (x, y) of all cells, row after row, [h * w, 2]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1).float()


def _described(feature: Tensor) -> Tensor:
    """Return a unit vector for each cell, [N, h * w, D]: its channels, each about its mean, in its deviations."""
    # Styles scale whole channels, and an edit changes styles: what is compared is how cells differ from each other.
    spread = feature.std(dim=(2, 3), keepdim=True) + 1e-6
    return F.normalize(((feature - feature.mean(dim=(2, 3), keepdim=True)) / spread).flatten(2), dim=1).mT
