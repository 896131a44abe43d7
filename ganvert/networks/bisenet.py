"""BiSeNet (Yu et al. 2018, arXiv 1808.00897): which class every pixel of an image belongs to.

This is the variant whose detail path is the trunk's own map at an eighth of the image. Its two auxiliary outputs serve
training alone and are left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvert.networks.resnet import ResNet18

__all__ = ["BiSeNet"]

CONTEXT = 128  # channels of the context path
FUSED = 256  # channels after the fusion of context and detail


class BiSeNet(nn.Module):
    """Logits of classes at an eighth of the image's resolution."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.trunk = ResNet18()
        self.attend16, self.attend32 = _Attention(256), _Attention(512)
        self.context = _ConvNorm(512, CONTEXT, 1)
        self.up32, self.up16 = _ConvNorm(CONTEXT, CONTEXT, 3), _ConvNorm(CONTEXT, CONTEXT, 3)
        self.fuse = _Fusion()
        self.head = _ConvNorm(FUSED, FUSED, 3)
        self.classify = nn.Conv2d(FUSED, classes, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images [N, 3, h, w], h and w multiples of 32, to logits [N, classes, h / 8, w / 8]."""
        eighth, sixteenth, last = self.trunk(images)
        # From coarse to fine: the mean of the whole image, then each map refined by what is known of its surroundings.
        coarse = self.attend32(last) + self.context(last.mean(dim=(2, 3), keepdim=True))
        middle = self.attend16(sixteenth) + self.up32(F.interpolate(coarse, scale_factor=2.0))
        fine = self.up16(F.interpolate(middle, scale_factor=2.0))
        return self.classify(self.head(self.fuse(torch.cat([eighth, fine], dim=1))))


class _ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU; the size stays."""

    def __init__(self, c_in: int, c_out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class _Attention(nn.Module):
    """The attention refinement module (their figure 2b): channels scaled by what the whole map holds."""

    def __init__(self, c_in: int) -> None:
        super().__init__()
        self.reduce = _ConvNorm(c_in, CONTEXT, 3)
        self.weigh = nn.Conv2d(CONTEXT, CONTEXT, 1, bias=False)
        self.norm = nn.BatchNorm2d(CONTEXT)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        return x * torch.sigmoid(self.norm(self.weigh(x.mean(dim=(2, 3), keepdim=True))))


class _Fusion(nn.Module):
    """The feature fusion module (their figure 2c): detail and context, whose channels are weighed and added again."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = _ConvNorm(128 + CONTEXT, FUSED, 1)
        self.squeeze = nn.Conv2d(FUSED, FUSED // 4, 1, bias=False)
        self.excite = nn.Conv2d(FUSED // 4, FUSED, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        weights = self.excite(torch.relu(self.squeeze(x.mean(dim=(2, 3), keepdim=True))))
        return x + x * torch.sigmoid(weights)
