"""The head contract: feature maps in, a part of a code out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ganvert.generators.base import Generator

__all__ = ["Head", "Prediction"]

#: "ws" [N, num_ws, w_dim]; "fSIZE" [N, c, SIZE, SIZE]; "const" and "pad.CONV" as the space ``pad/...`` calls them.
Prediction = dict[str, Tensor]


class Head(nn.Module, ABC):
    """Says a part of a code. Subclasses take their options as keyword arguments behind `generator` and `taps`."""

    def __init__(self, generator: Generator, taps: dict[int, int]) -> None:
        """`taps`: side [px] of every feature map to its channels, fine to coarse."""
        super().__init__()
        del generator, taps

    @abstractmethod
    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        """Side -> [N, c, side, side] to a prediction; "ws" as offsets from w_avg, everything else as it is."""

    def at_step(self, step: int) -> None:
        """Told the number of every training step before it, for heads that grow (default: nothing to do)."""
