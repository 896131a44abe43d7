"""The contract of a head: feature maps in, a part of a code out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn

from ganvert.generators.base import Generator

__all__ = ["Head", "Prediction", "Reads"]

#: "ws" [N, num_ws, w_dim]; "fSIZE" [N, c, SIZE, SIZE]; "const" and "pad.CONV" are named as in the space ``pad/...``,
#: "scale" and "shift" as in ``cSIZE/...``.
Prediction = dict[str, Tensor]
Reads = Literal["maps", "pictures", "descriptor", "all", "image"]


class Head(nn.Module, ABC):
    """Predicts a part of a code. Subclasses take their options as keyword arguments after `generator` and `taps`.

    Attributes:
        reads: the feature maps of the backbone; these and the small picture as one more map; the descriptor of the
            face, a map of one pixel; all of them, with the descriptor and the small picture as one map of one pixel; or
            the image alone, at the side that the encoder takes.
        trained_by: what it predicts in training alone, for penalties; no part of a code.
        sees_rows: whether it runs after the heads of rows and is called with what they predict, ``head(taps, ws)``.
    """

    reads: ClassVar[Reads] = "maps"
    trained_by: ClassVar[tuple[str, ...]] = ()
    sees_rows: ClassVar[bool] = False

    def __init__(self, generator: Generator, taps: dict[int, int]) -> None:
        """Take sizes from `generator` and `taps`: side [px] of every feature map to its channels, fine to coarse."""
        super().__init__()
        del taps
        self.num_ws = generator.num_ws

    @abstractmethod
    def forward(self, taps: dict[int, Tensor]) -> Prediction:
        """Map side -> [N, c, side, side] to a prediction; "ws" are offsets from w_avg, other parts absolute."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what it predicts: rows of ws by default."""
        return ("ws",)

    @property
    def distinct_rows(self) -> int:
        """Number of rows of ws that have values of their own; fewer than all in heads that grow."""
        return self.num_ws

    def at_step(self, step: int) -> None:
        """Receive the number of a training step before it runs, for heads that grow; does nothing by default."""
