"""The loss contract: the target is prepared once, then every call returns one value per image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from torch import Tensor

__all__ = ["Loss", "Prepared"]

Prepared = TypeVar("Prepared")


class Loss(ABC, Generic[Prepared]):
    """Distance of an image to a target; images are [N, 3, r, r] in [-1, 1], already at the term's resolution."""

    @abstractmethod
    def prepare(self, target: Tensor) -> Prepared:
        """Whatever of the target can be computed once."""

    @abstractmethod
    def __call__(self, image: Tensor, prepared: Prepared) -> Tensor:
        """[N] distances; the batch total is their sum, so that images stay independent."""
