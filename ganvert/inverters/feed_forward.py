"""Inversion by an encoder alone: one pass, no optimisation."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from ganvert.inverters.base import Batch, Context, Inversion, OnStep
from ganvert.spaces import check_space, make_space

__all__ = ["FeedForwardOptions", "feed_forward"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeedForwardOptions:
    """params.yaml: invert.options.NAME with ``inverter: feed_forward``.

    Attributes:
        space: the space its codes are stored in.
    """

    space: str = "wplus"
    steps: ClassVar[int] = 1
    needs_encoder: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_space(self.space)


def feed_forward(
    batch: Batch, context: Context, options: FeedForwardOptions, on_step: OnStep | None = None
) -> Inversion:
    """Encode a batch; see :func:`ganvert.inverters.optimise.optimise` for the rest."""
    space = make_space(options.space, context.generator)
    with torch.no_grad():
        variables = space.from_ws(context.require_encoder().encode(batch.targets))
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
