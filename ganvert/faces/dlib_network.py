"""dlib's face descriptor network (King 2017) for PyTorch: a ResNet of 29 convolutions trained by metric learning."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.faces.weights import load_in_order
from ganvert.networks.blank import Blank

__all__ = ["DLIB_FILE", "DlibDescriptor", "load_network"]

DLIB_FILE = "dlib_descriptor.safetensors"
#: Means of red, green and blue of its training images [0, 255], and what the difference is divided by.
_MEANS, _SCALE = (122.782, 117.001, 104.298), 256.0
#: Channels of the fourteen blocks; those that halve the resolution.
_WIDTHS = (32,) * 3 + (64,) * 4 + (128,) * 3 + (256,) * 4
_HALVING = (3, 7, 10, 13)


class Block(nn.Module):
    """Two convolutions and a skip; where the resolution is halved, the skip is pooled."""

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        # dlib pads no convolution that has a stride.
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2 if halve else 1, padding=0 if halve else 1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))
        skip = F.avg_pool2d(x, 2) if self.halve else x
        # dlib adds tensors of different sizes: what one of them lacks in channels, rows or columns counts 0.
        sizes = [max(pair) for pair in zip(y.shape[1:], skip.shape[1:], strict=True)]
        return F.relu(_fill(y, sizes) + _fill(skip, sizes))


def _fill(x: Tensor, sizes: list[int]) -> Tensor:
    """Return [N, C, h, w] with zeros appended to the sizes [C, h, w]."""
    missing = [size - length for size, length in zip(sizes, x.shape[1:], strict=True)]
    return F.pad(x, [0, missing[2], 0, missing[1], 0, missing[0]]) if any(missing) else x


class DlibDescriptor(nn.Module):
    """Descriptors of faces; Euclidean distances below 0.6 are the same person by the model's own rule.

    Args:
        folder: of the assets.

    Raises:
        AssetError: the weights are missing or damaged.
        CheckpointError: they are of another network.
    """

    means: Tensor

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        widths = zip((32, *_WIDTHS), _WIDTHS, strict=False)
        with Blank():
            self.first = nn.Conv2d(3, 32, 7, stride=2)
            self.blocks = nn.ModuleList(Block(a, b, i in _HALVING) for i, (a, b) in enumerate(widths))
            self.last = nn.Linear(256, 128, bias=False)
        load_in_order(self, DLIB_FILE, folder)
        self.register_buffer("means", torch.tensor(_MEANS).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, chips: Tensor) -> Tensor:
        """Return descriptors [N, 128] of chips [N, 3, 150, 150] in [-1, 1]."""
        x = (chips.add(1).mul(127.5) - self.means) / _SCALE
        x = F.max_pool2d(F.relu(self.first(x)), 3, stride=2)
        for block in self.blocks:
            x = block(x)
        return self.last(x.mean(dim=(2, 3)))


@cache
def load_network(folder: Path | None, device: torch.device) -> DlibDescriptor:
    """Return the shared network of a folder and device; see :class:`DlibDescriptor`."""
    return DlibDescriptor(folder).to(device)
