"""The error's part that repeats every few pixels: what a generator's upsampling leaves on smooth skin."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ganvert.base.errors import ShapeError
from ganvert.losses.pixel import Mse

__all__ = ["Checkerboard"]

#: Pixels. Three layers that double the side, each with a pattern of its own, repeat every 2, 4 and 8 px.
_PERIOD = 8
#: The pattern is the mean over this many periods a side; what the error does by chance averages out.
_PERIODS = 8


class Checkerboard(Mse):
    """Mean square of the pattern of 8 x 8 px that repeats in the error, over windows of 64 px.

    Upsampling leaves such patterns (Odena et al. 2016, Deconvolution and Checkerboard Artifacts). One grey level of it
    is seen on skin, and is a hundredth of what pixel losses see. The loss is ours.
    """

    def prepare(self, target: Tensor) -> Tensor:
        if min(target.shape[2:]) < 2 * _PERIOD:
            raise ShapeError(
                f"loss checkerboard: wanted images of {2 * _PERIOD} px or more, got {tuple(target.shape[2:])}: "
                "give its term a larger resolution, or leave it out"
            )
        return target

    def __call__(self, image: Tensor, prepared: Tensor) -> Tensor:
        error = image - prepared
        # The mean over one period knows nothing of the pattern, and everything of the slopes it would be taken for.
        smooth = _sums(_sums(error, 2), 3) / _PERIOD**2
        height, width = (side // _PERIOD * _PERIOD for side in (smooth.shape[2] - 1, smooth.shape[3] - 1))
        middle = _PERIOD // 2
        fine = error[:, :, middle : middle + height, middle : middle + width] - smooth[:, :, :height, :width]
        places = F.pixel_unshuffle(fine, _PERIOD)  # [N, C * places in a period, periods down, periods across]
        window = [min(_PERIODS, count) for count in places.shape[2:]]
        local = F.avg_pool2d(places, window, stride=[max(1, size // 2) for size in window])
        pattern = local.unflatten(1, (error.shape[1], -1))
        return (pattern - pattern.mean(dim=2, keepdim=True)).square().mean(dim=(1, 2, 3, 4))


def _sums(x: Tensor, axis: int) -> Tensor:
    """Return the sums of `_PERIOD` values in a row along an axis, which is shorter by `_PERIOD` - 1."""
    step = 1
    while step < _PERIOD:  # twice as many in every round: three additions, where a pool takes eight, and is slow
        x = x.narrow(axis, step, x.shape[axis] - step) + x.narrow(axis, 0, x.shape[axis] - step)
        step *= 2
    return x
