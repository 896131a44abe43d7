"""The objective: a weighted list of image losses, each at its own resolution, plus regularisers of the code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvert.errors import ParamsError
from ganvert.generators.base import Generator
from ganvert.images import area_resize
from ganvert.losses import LOSSES
from ganvert.registry import lookup

__all__ = ["REGULARISERS", "Objective", "Term"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Term:
    """One line of an objective.

    Attributes:
        loss: name in ``ganvert.losses.LOSSES``.
        weight: factor.
        resolution: both images are area-resized to it; None is the generator's own.
    """

    loss: str
    weight: float = 1.0
    resolution: int | None = 256

    def __post_init__(self) -> None:
        lookup(LOSSES, self.loss, "loss")
        if self.weight < 0 or (self.resolution is not None and self.resolution < 16):
            raise ParamsError(f"weight must not be negative and resolution at least 16, got {self}")


class Objective:
    """Terms prepared for one batch of targets."""

    def __init__(self, terms: Sequence[Term], targets: Tensor, folder: Path | None, limit: int | None = None) -> None:
        """Prepare the targets.

        Args:
            terms: the lines.
            targets: [N, 3, r, r] in [-1, 1].
            folder: the asset folder.
            limit: no term looks at more pixels than this (early low-resolution steps).
        """
        self.lines: list[tuple[float, int, Any, Any]] = []
        for term in terms:
            size = term.resolution or targets.shape[-1]
            size = min(size, limit) if limit else size
            loss = LOSSES[term.loss](folder, targets.device)
            self.lines.append((term.weight, size, loss, loss.prepare(area_resize(targets, size))))

    def __call__(self, images: Tensor) -> Tensor:
        """[N] weighted sums."""
        sizes: dict[int, Tensor] = {}
        total = images.new_zeros(len(images))
        for weight, size, loss, prepared in self.lines:
            if size not in sizes:
                sizes[size] = area_resize(images, size)
            total = total + weight * loss(sizes[size], prepared)
        return total


def _w_norm(ws: Tensor, generator: Generator) -> Tensor:
    return (ws - generator.w_avg).square().mean(dim=(1, 2))


def _delta(ws: Tensor, generator: Generator) -> Tensor:
    del generator
    return (ws - ws.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2))


#: name -> penalty of ws [N, num_ws, w_dim], [N]: distance from the mean code; spread of the rows.
REGULARISERS: Mapping[str, Callable[[Tensor, Generator], Tensor]] = {"w_norm": _w_norm, "delta": _delta}
