"""The contract of losses: the target is prepared once, then every call returns one value per image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from torch import Tensor

__all__ = ["Loss", "Prepared"]

Prepared = TypeVar("Prepared")


class Loss(ABC, Generic[Prepared]):
    """Distance of images to targets, both [N, 3, r, r] in [-1, 1] at the resolution of the objective's term."""

    @abstractmethod
    def prepare(self, target: Tensor) -> Prepared:
        """Compute once what every call needs of the targets.

        Returns:
            Tensors with a row per image, in lists, tuples or mappings: objectives of single images are joined by rows.
        """

    @abstractmethod
    def __call__(self, image: Tensor, prepared: Prepared) -> Tensor:
        """Return distances [N], row by row, so that images stay independent."""
