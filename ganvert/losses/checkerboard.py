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
        smooth = F.avg_pool2d(error, _PERIOD, stride=1)
        height, width = (side // _PERIOD * _PERIOD for side in (smooth.shape[2] - 1, smooth.shape[3] - 1))
        middle = _PERIOD // 2
        fine = error[:, :, middle : middle + height, middle : middle + width] - smooth[:, :, :height, :width]
        # [N, C, places in a period, periods down, periods across]
        places = F.pixel_unshuffle(fine, _PERIOD).unflatten(1, (error.shape[1], -1))
        window = [min(_PERIODS, count) for count in places.shape[3:]]
        steps = [max(1, size // 2) for size in window]
        pattern = F.avg_pool3d(places, (1, *window), stride=(1, *steps))
        return (pattern - pattern.mean(dim=2, keepdim=True)).square().mean(dim=(1, 2, 3, 4))
