"""3 x 3 convolutions by Winograd's minimal filtering F(4 x 4, 3 x 3): frozen ones with many channels, on a CPU.

A tile of 4 x 4 outputs Y of one channel pair is computed from a tile d of 6 x 6 inputs and a filter g of 3 x 3 as

    Y = A^T [ (G g G^T) * (B^T d B) ] A            (Lavin and Gray 2016, arXiv 1509.09308)

with an elementwise product of 36 numbers in place of the 4 x 4 x 9 = 144 products of the direct sum. Smaller tiles save
less: F(2 x 2) takes 16 products for 4 outputs, a factor of 2.25 instead of 4. Larger ones, F(6 x 6) with a factor of
5.06, have transforms with larger entries and so larger rounding errors. PyTorch's CPU kernels for AVX2 use none.

The sums are not those of the direct convolution: results differ by 1e-5 of the largest, in float32.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ganvert.compute.kernels import use_cpu_kernels
from ganvert.networks.blank import Blank

__all__ = ["WinogradConv2d"]

#: Side of the input tile d, and of the output tile Y, which is also the step from one input tile to the next.
_TILE, _STEP = 6, 4

# Polynomial interpolation at the points 0, 1, -1, 2, -2 and infinity gives the three transforms (any six points would;
# small ones keep the entries, and with them rounding errors, small).
#: B^T, of the data: [6, 6]
_DATA = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
#: G, of the filter: [6, 3]
_FILTER = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
#: A^T, of the result: [4, 6]
_RESULT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


@cache
def _twice(which: tuple[tuple[float, ...], ...]) -> Tensor:
    """Return the transform of rows and columns at once: M X M^T is (M kron M) times X, flattened row by row."""
    matrix = torch.tensor(which, dtype=torch.float64)
    return torch.kron(matrix, matrix).float()


def _tiles(padded: Tensor, th: int, tw: int) -> Tensor:
    """Return the overlapping tiles of [n, c, 4 th + 2, 4 tw + 2] as a view [6, 6, c, n, th, tw], without a copy.

    The position inside a tile comes first: the transforms then are one matrix product over all tiles, channels and
    images, and each of the 36 positions is one matrix product over channels.
    """
    n, c, y, x = padded.stride()
    shape = (_TILE, _TILE, padded.shape[1], padded.shape[0], th, tw)
    return padded.as_strided(shape, (y, x, c, n, _STEP * y, _STEP * x))


class _Winograd(torch.autograd.Function):
    """The convolution and its gradient to the input; filters [36, out, c] are transformed and frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, filters: Tensor, bias: Tensor) -> Tensor:
        n, c, h, w = x.shape
        th, tw, out = h // _STEP, w // _STEP, filters.shape[1]  # tiles along y and x, output channels
        padded = x.new_zeros(n, c, h + 2, w + 2)
        padded[:, :, 1:-1, 1:-1] = x
        data = _tiles(padded, th, tw).reshape(_TILE**2, -1)
        data = (_twice(_DATA) @ data).unflatten(1, (c, n * th * tw))
        products = torch.bmm(filters, data)  # [36, out, tiles of all images]: the sum over input channels
        pixels = (_twice(_RESULT) @ products.flatten(1)).view(_STEP, _STEP, out, n, th, tw)
        result = x.new_empty(n, out, h, w)
        placed = result.view(n, out, th, _STEP, tw, _STEP)  # y is (tile, row inside), x is (tile, column inside)
        torch.add(pixels.permute(3, 2, 4, 0, 5, 1), bias.view(-1, 1, 1, 1, 1), out=placed)
        ctx.save_for_backward(filters)
        ctx.size = n, c, h, w
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        # Every step of the forward pass is linear in x: its transpose, in reverse order.
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
                # Tiles overlap, so that a pixel is in several of them; at one position each tile has another pixel, so
                # that no write of this addition meets another.
                into[i, j] += tiles[i, j]
        return padded[:, :, 1:-1, 1:-1], None, None


class WinogradConv2d(nn.Conv2d):
    """A frozen 3 x 3 convolution with padding 1, by Winograd's method where it applies, otherwise by PyTorch's."""

    #: With fewer pairs of channels the transforms cost what the products save (measured on a CPU with AVX2).
    LEAST_PAIRS = 128 * 256

    _filters: Tensor | None = None

    @classmethod
    def take(cls, convolution: nn.Conv2d) -> nn.Conv2d:
        """Return a convolution of the same weights by Winograd's method, or the same one where that does not fit it."""
        many = convolution.in_channels * convolution.out_channels >= cls.LEAST_PAIRS
        shape = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
        if not many or shape != ((3, 3), (1, 1), (1, 1), (1, 1)) or convolution.groups != 1 or convolution.bias is None:
            return convolution
        with Blank():
            taken = cls(convolution.in_channels, convolution.out_channels, 3, padding=1)
        taken.load_state_dict(convolution.state_dict())
        return taken.requires_grad_(False).train(convolution.training)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        if not use_cpu_kernels(x) or self.weight.requires_grad or x.dtype != torch.float32 or h % _STEP or w % _STEP:
            return super().forward(x)
        if self._filters is None:  # transformed once, at the first image: the weights are frozen
            shape = (_TILE**2, self.out_channels, self.in_channels)
            self._filters = (_twice(_FILTER) @ self.weight.detach().flatten(2).permute(2, 0, 1).flatten(1)).view(shape)
        return cast(Tensor, _Winograd.apply(x, self._filters, self.bias))
