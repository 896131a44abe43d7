"""Inversion by an encoder alone: what it predicts is the code."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from ganvert.compute.side_by_side import batching_helps
from ganvert.generators.base import Generator
from ganvert.inversion.contract import Batch, Context, Inversion, OnStep
from ganvert.inversion.objective import Term
from ganvert.spaces import check_space, make_space

__all__ = ["FeedForwardOptions", "feed_forward"]

#: Pictures per batch on a GPU, where no limit is set: they are small, and encoders keep no gradients.
_GPU_BATCH = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeedForwardOptions:
    """params.yaml: invert.options.NAME with ``inverter: feed_forward``.

    Attributes:
        space: the space its codes are stored in. It must be able to take a part of what the encoder predicts
            (:meth:`ganvert.spaces.base.Space.adopt`); what the encoder does not predict is filled in there.
    """

    space: str = "wplus"
    steps: ClassVar[int] = 1
    needs_encoder: ClassVar[bool] = True
    terms: ClassVar[tuple[Term, ...]] = ()

    def __post_init__(self) -> None:
        check_space(self.space)

    def check(self, generator: Generator) -> None:
        """Raise UnsupportedError where the generator lacks the space."""
        make_space(self.space, generator)


def feed_forward(
    batch: Batch, context: Context, options: FeedForwardOptions, on_step: OnStep | None = None
) -> Inversion:
    """Encode a batch, ``context.side_by_side`` images at once.

    Arguments, result and errors are those of :func:`ganvert.inversion.methods.optimise.optimise`.
    """
    options.check(context.generator)
    space = make_space(options.space, context.generator)
    encoder, n = context.require_encoder(), len(batch)
    size = context.side_by_side or (_GPU_BATCH if batching_helps(context.device) else 1)
    parts = []
    for first in range(0, n, size):
        rows = slice(first, first + size)
        with torch.no_grad():
            parts.append(space.adopt(encoder.encode(batch.targets[rows].to(context.device)), batch.seeds[rows]))
        if on_step is not None:
            on_step(min(first + size, n) / n, 1, torch.zeros(min(size, n - first)))
    return Inversion(
        space=options.space,
        variables={name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]},
        noise=[],
        # Nothing is minimised, so that there is no objective to trace.
        trace=torch.zeros(n, 0),
        best_step=torch.zeros(n, dtype=torch.long),
        status=["ok"] * n,
        reason=[""] * n,
    )
