"""The way back from ws to z: the mapping network has no inverse, so that the nearest z is searched for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganvert.compute.random import normal
from ganvert.generators.base import Generator
from ganvert.spaces.sphere import to_sphere

__all__ = ["nearest_z"]

_SAMPLES = 1024  # candidates for the start of the search
_STEPS = 200  # 0.4 core-seconds an image at 16 rows of 512; 300 come 3 % nearer
_RATE = 0.1


def nearest_z(
    generator: Generator, rows_of: Callable[[Tensor], Tensor], wanted: Tensor, reads: Sequence[int], count: int
) -> Tensor:
    """Return the z whose w come nearest to those wanted; no gradient flows back to these.

    The distance is squared, each coordinate in standard deviations of samples' w. The search is Adam on the spheres,
    from the nearest of some samples. It ends beside, not at, w that no z is mapped to, as those of encoders.

    Args:
        generator: whose mapping network it is.
        rows_of: maps z [1, count, z_dim] to w [1, len(reads), w_dim].
        wanted: w, [N, len(reads), w_dim].
        reads: row of ws that each w stands in.
        count: 1 for one z that serves all w, else one for each.

    Returns:
        z [N, count, z_dim], of length sqrt(z_dim).
    """
    samples = to_sphere(normal(range(_SAMPLES), (generator.z_dim,)).to(generator.w_avg))
    with torch.no_grad():
        rows = generator.map(samples)[:, list(reads)]
    spread = rows.std(dim=0).clamp_min(torch.finfo(rows.dtype).tiny)
    # One image at a time: sums of a batch are rounded otherwise, and Adam magnifies that.
    return torch.cat([_search(rows_of, one[None], rows, spread, samples, count) for one in wanted.detach()])


def _search(
    rows_of: Callable[[Tensor], Tensor], wanted: Tensor, rows: Tensor, spread: Tensor, samples: Tensor, count: int
) -> Tensor:
    """Return the z [1, count, z_dim] of one image."""
    errors = ((rows - wanted) / spread).square().mean(dim=2)
    z = samples[errors.argmin(dim=0) if count > 1 else errors.sum(dim=1).argmin()[None]][None].clone()
    with torch.enable_grad():
        adam = torch.optim.Adam([z.requires_grad_()], betas=(0.9, 0.99))
        for step in range(_STEPS):
            adam.param_groups[0]["lr"] = _RATE * min(1.0, 2 * (1 - step / _STEPS))
            adam.zero_grad()
            ((rows_of(z) - wanted) / spread).square().mean(dim=2).sum().backward()
            adam.step()
            with torch.no_grad():
                z.copy_(to_sphere(z))
    return z.detach()
