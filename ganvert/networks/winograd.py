"""3 x 3 convolutions by Winograd's minimal filtering, F(4 x 4, 3 x 3): frozen ones with many channels, on a CPU.

Sixteen outputs of a channel pair take 36 products in place of 144 (Lavin and Gray 2016, arXiv 1509.09308). PyTorch's
CPU kernels do not use it. Sums are other ones than those of the direct way: results differ by 1e-5 of the largest.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ganvert.compute.kernels import use_cpu_kernels

__all__ = ["WinogradConv2d"]

_TILE, _STEP = 6, 4

# Interpolation points 0, 1, -1, 2, -2 and infinity.
_DATA = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_FILTER = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_RESULT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


@cache
def _twice(which: tuple[tuple[float, ...], ...]) -> Tensor:
    """A transform of rows and columns at once, as one matrix."""
    matrix = torch.tensor(which, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


def _tiles(padded: Tensor, th: int, tw: int) -> Tensor:
    """The overlapping tiles of [n, c, 4 th + 2, 4 tw + 2] as a view [6, 6, c, n, th, tw]."""
    n, c, y, x = padded.stride()
    shape = (_TILE, _TILE, padded.shape[1], padded.shape[0], th, tw)
    return padded.as_strided(shape, (y, x, c, n, _STEP * y, _STEP * x))


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, filters: Tensor, bias: Tensor) -> Tensor:
        n, c, h, w = x.shape
        th, tw, out = h // _STEP, w // _STEP, filters.shape[1]
        padded = x.new_zeros(n, c, h + 2, w + 2)
        padded[:, :, 1:-1, 1:-1] = x
        data = _tiles(padded, th, tw).reshape(_TILE**2, -1)
        data = (_twice(_DATA) @ data).unflatten(1, (c, n * th * tw))
        products = torch.bmm(filters, data)  # [36, out, tiles of all images]
        pixels = (_twice(_RESULT) @ products.flatten(1)).view(_STEP, _STEP, out, n, th, tw)
        result = x.new_empty(n, out, h, w)
        placed = result.view(n, out, th, _STEP, tw, _STEP)
        torch.add(pixels.permute(3, 2, 4, 0, 5, 1), bias.view(-1, 1, 1, 1, 1), out=placed)
        ctx.save_for_backward(filters)
        ctx.size = n, c, h, w
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (filters,) = ctx.saved_tensors
        n, c, h, w = ctx.size
        th, tw, out = h // _STEP, w // _STEP, filters.shape[1]
        pixels = grad.reshape(n, out, th, _STEP, tw, _STEP).permute(3, 5, 1, 0, 2, 4).reshape(_STEP**2, -1)
        products = (_twice(_RESULT).t() @ pixels).unflatten(1, (out, n * th * tw))
        data = torch.bmm(filters.transpose(1, 2), products)  # [36, c, tiles of all images]
        tiles = (_twice(_DATA).t() @ data.flatten(1)).view(_TILE, _TILE, c, n, th, tw)
        padded = grad.new_zeros(n, c, h + 2, w + 2)
        into = _tiles(padded, th, tw)
        for i in range(_TILE):
            for j in range(_TILE):
                into[i, j] += tiles[i, j]  # a pixel is in several tiles, but only once in each of these
        return padded[:, :, 1:-1, 1:-1], None, None


class WinogradConv2d(nn.Conv2d):
    """A frozen convolution of 3 x 3 with padding 1; where Winograd's way is no gain or no use, it is any other one."""

    #: With fewer pairs of channels the transforms cost what the products spare (measured on a CPU with AVX2).
    LEAST_PAIRS = 128 * 256

    _filters: Tensor | None = None

    @classmethod
    def take(cls, convolution: nn.Conv2d) -> nn.Conv2d:
        """The same convolution with the same weights, by Winograd's way where that fits it."""
        many = convolution.in_channels * convolution.out_channels >= cls.LEAST_PAIRS
        facts = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
        if not many or facts != ((3, 3), (1, 1), (1, 1), (1, 1)) or convolution.groups != 1 or convolution.bias is None:
            return convolution
        taken = cls(convolution.in_channels, convolution.out_channels, 3, padding=1)
        taken.load_state_dict(convolution.state_dict())
        return taken.requires_grad_(False).train(convolution.training)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        if not use_cpu_kernels(x) or self.weight.requires_grad or x.dtype != torch.float32 or h % _STEP or w % _STEP:
            return super().forward(x)
        if self._filters is None:
            shape = (_TILE**2, self.out_channels, self.in_channels)
            self._filters = (_twice(_FILTER) @ self.weight.detach().flatten(2).permute(2, 0, 1).flatten(1)).view(shape)
        return cast(Tensor, _Winograd.apply(x, self._filters, self.bias))
