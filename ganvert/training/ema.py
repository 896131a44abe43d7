"""A running mean of the weights, which varies less than the last weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ganvert.base.errors import CheckpointError, ParamsError

__all__ = ["Ema"]


class Ema:
    """Exponential moving average of a module's parameters.

    After step t = 1, 2, ... the average a becomes ``d * a + (1 - d) * weights`` with ``d = min(decay, t / (t + 9))``.
    That starts at 0.1 and reaches 0.999 after 8,991 steps. With a constant `decay` the average would mostly be the
    random initial weights for thousands of steps.

    Buffers (running statistics) are averages already: under :meth:`applied` they are the module's own.

    With a decay of 0 nothing is kept, and :meth:`applied` changes nothing.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start at the module's weights; ParamsError unless `decay` is from 0 to below 1."""
        if not 0 <= decay < 1:
            raise ParamsError(f"ema: a decay must be from 0 to below 1, got {decay}")
        self.module, self.decay, self.count = module, decay, 0
        self.average = {name: p.detach().clone() for name, p in self._parameters().items()}

    def _parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.module.named_parameters()) if self.decay else {}

    @torch.no_grad()
    def update(self) -> None:
        """Update the average; call it after every step of the optimiser."""
        self.count += 1
        decay = min(self.decay, self.count / (self.count + 9))
        for name, parameter in self._parameters().items():
            # d a + (1 - d) p as a + (1 - d) (p - a), in place.
            self.average[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the module the averaged weights inside the context, and its own, bit for bit, afterwards."""
        own = {name: p.detach().clone() for name, p in self._parameters().items()}
        self._put(self.average)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters().items():
            # Copied, not exchanged: the optimiser holds these very tensors.
            parameter.copy_(values[name])

    def state(self) -> dict[str, Tensor]:
        """Return copies on the CPU for a checkpoint: "count", "average.NAME"; nothing with a decay of 0."""
        if not self.decay:
            return {}
        state = {f"average.{name}": value.to("cpu", copy=True).contiguous() for name, value in self.average.items()}
        return {"count": torch.tensor(self.count), **state}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Resume from :meth:`state`; CheckpointError if it is of another module."""
        shapes = {name: value.shape for name, value in self.state().items()}
        if {name: value.shape for name, value in state.items()} != shapes:
            raise CheckpointError("averaged weights: these are not of this encoder")
        if self.decay:
            self.count = int(state["count"])
            for name, value in self.average.items():
                value.copy_(state[f"average.{name}"])
