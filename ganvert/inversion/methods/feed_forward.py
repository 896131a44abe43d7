"""Inversion by an encoder alone: it looks, and what it predicts is the code."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from ganvert.generators.base import Generator
from ganvert.inversion.contract import Batch, Context, Inversion, OnStep
from ganvert.spaces import check_space, make_space

__all__ = ["FeedForwardOptions", "feed_forward"]


_AT_ONCE = 16  # pictures that a GPU encodes together: they are small


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeedForwardOptions:
    """params.yaml: invert.options.NAME with ``inverter: feed_forward``.

    Attributes:
        space: the space its codes are stored in. It must have a use for what the encoder predicts
            (:meth:`ganvert.spaces.base.Space.adopt`); what the encoder does not say is filled in there.
    """

    space: str = "wplus"
    steps: ClassVar[int] = 1
    needs_encoder: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_space(self.space)

    def check(self, generator: Generator) -> None:
        """UnsupportedError where no encoder can predict codes of the space, or the generator lacks it."""
        make_space(self.space, generator).check_predictable()


def feed_forward(
    batch: Batch, context: Context, options: FeedForwardOptions, on_step: OnStep | None = None
) -> Inversion:
    """Encode a batch, ``context.side_by_side`` images at once.

    See :func:`ganvert.inversion.methods.optimise.optimise` for the rest.
    """
    options.check(context.generator)
    space = make_space(options.space, context.generator)
    encoder, n = context.require_encoder(), len(batch)
    size = context.side_by_side or (1 if context.device.type == "cpu" else _AT_ONCE)
    parts = []
    for first in range(0, n, size):
        some = slice(first, first + size)
        with torch.no_grad():
            parts.append(space.adopt(encoder.encode(batch.targets[some].to(context.device)), batch.seeds[some]))
        if on_step is not None:
            on_step(min(first + size, n) / n, 1, torch.zeros(min(size, n - first)))
    return Inversion(
        space=options.space,
        variables={name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]},
        noise=[],
        trace=torch.zeros(n, 0),
        best_step=torch.zeros(n, dtype=torch.long),
        status=["ok"] * n,
        reason=[""] * n,
    )
