"""The noise regulariser of the StyleGAN2 projector (Karras et al. 2020, appendix D)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["noise_penalty", "normalise_noise_"]


def noise_penalty(maps: Sequence[Tensor]) -> Tensor:
    """Squared auto-correlation at one pixel's distance over a pyramid down to 8 px: maps [N, 1, h, h] to [N]."""
    total = maps[0].new_zeros(len(maps[0]))
    for noise in maps:
        level = noise
        while True:
            for axis in (2, 3):
                total = total + (level * level.roll(1, dims=axis)).mean(dim=(1, 2, 3)).square()
            if level.shape[-1] <= 8:
                break
            level = F.avg_pool2d(level, 2)
    return total


@torch.no_grad()
def normalise_noise_(maps: Sequence[Tensor]) -> None:
    """Zero mean and unit RMS per image and map, in place."""
    for noise in maps:
        noise -= noise.mean(dim=(1, 2, 3), keepdim=True)
        noise *= noise.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
