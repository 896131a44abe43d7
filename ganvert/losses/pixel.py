"""Pixel distances."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ganvert.losses.base import Loss

__all__ = ["L1", "Mse"]


class Mse(Loss[Tensor]):
    """Mean of squared differences over pixels and channels."""

    def __init__(self, folder: Path | None, device: torch.device) -> None:
        del folder, device  # pixel losses need no weights

    def prepare(self, target: Tensor) -> Tensor:
        return target

    def __call__(self, image: Tensor, prepared: Tensor) -> Tensor:
        return (image - prepared).square().mean(dim=(1, 2, 3))


class L1(Mse):
    """Mean of absolute differences over pixels and channels."""

    def __call__(self, image: Tensor, prepared: Tensor) -> Tensor:
        return (image - prepared).abs().mean(dim=(1, 2, 3))
