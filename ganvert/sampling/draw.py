"""The codes and images of seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ganvert.compute.random import normal
from ganvert.generators.base import Generator
from ganvert.images import area_resize, as_rgb

__all__ = ["codes_of", "draw", "generator_key", "picture_of", "w_of", "ws_of"]


def generator_key(generator: Generator) -> str:
    """Return what decides the image of a seed, as a name of work files: the weights, and the class if there is one."""
    # 16 hex digits are 64 bits: enough to tell generators apart, short enough for a file's name.
    return generator.fingerprint()[:16] + ("" if generator.label is None else f"-{generator.label}")


def _z_of(generator: Generator, seeds: Sequence[int]) -> Tensor:
    # A seed names a sample: its z depends on the seed alone, not on batch, order or device. So a table of scores needs
    # no images, and any process can draw the image of a row again.
    return normal(seeds, (generator.z_dim,)).to(generator.w_avg)


@torch.no_grad()
def w_of(generator: Generator, z: Tensor) -> Tensor:
    """Return the w [N, w_dim] of z [N, z_dim], without truncation; the mean over the rows where rows differ."""
    if not len(z):
        return z.new_zeros(0, generator.w_dim)
    # 1024 at a time bound the memory of the hidden layers.
    parts = [generator.map_to_w(part) for part in z.split(1024)]
    return torch.cat([part.mean(dim=1) if generator.rows_differ else part for part in parts])


def codes_of(generator: Generator, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the z [N, z_dim] and w [N, w_dim] of seeds (:func:`w_of`)."""
    z = _z_of(generator, seeds)
    return z, w_of(generator, z)


@torch.no_grad()
def ws_of(generator: Generator, seeds: Sequence[int], psi: float = 1.0, cutoff: int | None = None) -> Tensor:
    """Return the ws [N, num_ws, w_dim] of seeds; `psi` and `cutoff` as in ``Generator.map``."""
    return generator.map(_z_of(generator, seeds), psi=psi, cutoff=cutoff)


@torch.no_grad()
def picture_of(generator: Generator, ws: Tensor, px: int) -> Tensor:
    """Return the RGB images [N, 3, px, px] of ws, about [-1, 1]."""
    # With `px` a generator may stop early, at any resolution of at least that: most of the work is in the last layers.
    return area_resize(as_rgb(generator.synthesize(ws=ws, px=px)), px)


def draw(
    generator: Generator,
    seeds: Sequence[int],
    px: int,
    batch: int = 4,
    codes: Callable[[Sequence[int]], Tensor] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Yield (seed, image [3, px, px] about [-1, 1]) one by one, drawn in batches.

    `codes` returns the ws of seeds; without it they are those of :func:`ws_of`.
    """
    for start in range(0, len(seeds), batch):
        part = seeds[start : start + batch]
        ws = codes(part) if codes else ws_of(generator, part)
        yield from zip(part, picture_of(generator, ws, px), strict=True)
