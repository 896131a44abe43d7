"""The loss contract: the target is prepared once, then every call returns one value per image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
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

    def take(self, prepared: Prepared, rows: Sequence[int] | Tensor) -> Prepared:
        """The prepared target of some images of the batch."""
        index = torch.as_tensor(rows)
        if isinstance(prepared, Tensor):
            return prepared[index.to(prepared.device)]  # type: ignore[return-value]
        return [part[index.to(part.device)] for part in prepared]  # type: ignore[attr-defined, return-value]
