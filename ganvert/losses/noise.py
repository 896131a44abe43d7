"""The noise regulariser of the StyleGAN2 projector (Karras et al. 2020, appendix D)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["noise_penalty", "normalise_noise_"]


def noise_penalty(maps: Sequence[Tensor]) -> Tensor:
    """Return the squared auto-correlation at a distance of one pixel, over a pyramid down to 8 px.

    White noise has none at any scale. Without the penalty, optimised maps take over the image itself.

    Args:
        maps: [N, 1, h, h] each.

    Returns:
        [N], the sum over maps, levels and both axes.
    """
    # Squared after the mean: the mean of n times its neighbour is the correlation, positive or negative, and only 0 is
    # white.
    total = maps[0].new_zeros(len(maps[0]))
    for noise in maps:
        level = noise
        while True:
            for axis in (2, 3):
                # Rolled round the border, as in the projector.
                total = total + (level * level.roll(1, dims=axis)).mean(dim=(1, 2, 3)).square()
            if level.shape[-1] <= 8:
                break
            level = F.avg_pool2d(level, 2)  # as the projector: no gain of 2, so that variance falls level by level
    return total


@torch.no_grad()
def normalise_noise_(maps: Sequence[Tensor]) -> None:
    """Give every map of every image zero mean and unit RMS, in place; maps are [N, 1, h, h]."""
    for noise in maps:
        # Without it the penalty has an easy minimum: maps that are 0.
        noise -= noise.mean(dim=(1, 2, 3), keepdim=True)
        noise *= noise.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
