"""Inversion by an encoder alone: it looks, and what it predicts is the code."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from ganvert.generators.base import Generator
from ganvert.inverters.base import Batch, Context, Inversion, OnStep
from ganvert.spaces import check_space, make_space

__all__ = ["FeedForwardOptions", "feed_forward"]


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
    """Encode a batch; see :func:`ganvert.inverters.optimise.optimise` for the rest."""
    options.check(context.generator)
    space = make_space(options.space, context.generator)
    with torch.no_grad():
        variables = space.adopt(context.require_encoder().encode(batch.targets), batch.seeds)
    n = len(batch)
    if on_step is not None:
        on_step(1, 1, torch.zeros(n))
    return Inversion(
        space=options.space,
        variables={name: value.cpu() for name, value in variables.items()},
        noise=[],
        trace=torch.zeros(n, 0),
        best_step=torch.zeros(n, dtype=torch.long),
        status=["ok"] * n,
        reason=[""] * n,
    )
