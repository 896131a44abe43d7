"""Residual units of ResNet-IR (Deng et al. 2019, arXiv 1801.07698); squeeze-excitation is of Hu et al. 2018."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ArcFaceUnit", "BasicUnit", "IRUnit", "SqueezeExcitation", "projection"]

#: Squeeze-excitation has this many times fewer hidden channels.
REDUCTION = 16


class SqueezeExcitation(nn.Module):
    """Scales every channel by a number in (0, 1) that is computed from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(1, channels // REDUCTION)
        self.squeeze = nn.Conv2d(channels, narrow, 1, bias=False)
        self.excite = nn.Conv2d(narrow, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.excite(torch.relu(self.squeeze(means))))


class IRUnit(nn.Module):
    """BN, convolution, PReLU, convolution with the stride, BN, squeeze-excitation; nothing after the sum.

    The shortcut subsamples where the width stays (a max pool of one pixel with the stride, as in the release), and is
    a 1x1 convolution with BN where it changes.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, *, squeeze: bool = True) -> None:
        """Build it; without `squeeze` it ends in BN (HFGI)."""
        super().__init__()
        # BN first and nothing after the sum: the shortcut carries a stage's input through unchanged. PReLU has a slope
        # per channel. The second convolution has the stride, so that the first sees all pixels.
        self.branch = nn.Sequential(
            nn.BatchNorm2d(c_in),
            nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
            nn.PReLU(c_out),
            nn.Conv2d(c_out, c_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            *([SqueezeExcitation(c_out)] if squeeze else []),
        )
        # A pool over one pixel has no weights: it takes every `stride`-th pixel.
        self.around: nn.Module = nn.MaxPool2d(1, stride)
        if c_in != c_out:
            self.around = projection(c_in, c_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, c_in, h, w] to [N, c_out, h / stride, w / stride], odd sides rounded up."""
        return self.branch(x) + self.around(x)


class ArcFaceUnit(nn.Module):
    """BN, convolution, BN, PReLU, convolution with the stride, BN; nothing after the sum.

    The unit of ArcFace's own iresnet, which FeatureStyleEncoder takes: one BN more than :class:`IRUnit`, no
    squeeze-excitation, and a shortcut that is projected wherever the unit subsamples, also at equal width.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.BatchNorm2d(c_in),
            nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.PReLU(c_out),
            nn.Conv2d(c_out, c_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        same = stride == 1 and c_in == c_out
        self.around: nn.Module = nn.Identity() if same else projection(c_in, c_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, c_in, h, w] to [N, c_out, h / stride, w / stride], odd sides rounded up."""
        return self.branch(x) + self.around(x)


class BasicUnit(nn.Module):
    """Convolution with the stride, BN, ReLU, convolution, BN; ReLU after the sum.

    The unit of ResNet-18 and ResNet-34 (He et al. 2016, arXiv 1512.03385).
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        same = stride == 1 and c_in == c_out
        self.around: nn.Module = nn.Identity() if same else projection(c_in, c_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, c_in, h, w] to [N, c_out, h / stride, w / stride], odd sides rounded up."""
        return (self.branch(x) + self.around(x)).relu()


def projection(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    """Return the shortcut of a unit that changes sizes: a 1x1 convolution with the stride, BN."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False), nn.BatchNorm2d(c_out))
