"""LPIPS as a metric: the network of :mod:`ganvert.losses.lpips`, read from the asset folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

__all__ = ["lpips_measure"]


def lpips_measure(net: Literal["vgg", "alex"], folder: Path) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the perceptual distance of Zhang et al. (2018), version 0.1, of pictures in [-1, 1]; 0 for equal ones.

    Raises:
        AssetError: the weights are not in `folder`.
    """
    from ganvert.losses.lpips import load_lpips

    load_lpips(net, folder, torch.device("cpu"))  # missing weights are an error before any work

    def measure(images: Tensor, targets: Tensor) -> Tensor:
        network = load_lpips(net, folder, images.device)
        # One at a time: a batch then scores exactly as its pictures do alone, and memory stays that of one picture.
        values = [network(x[None], y[None]) for x, y in zip(images.float(), targets.float(), strict=True)]
        return torch.cat(values) if values else images.new_empty(0)

    return measure
