"""ResNet-34 (He et al. 2016, arXiv 1512.03385), the backbone of ReStyle for everything that is not a face."""

from __future__ import annotations

from ganvert.encoders.backbones.resnet_ir import ResNetIR
from ganvert.encoders.backbones.units import BasicUnit

__all__ = ["ResNet34"]


class ResNet34(ResNetIR):
    """256 px give 128 x 64², 256 x 32², 512 x 16².

    ReStyle's changes to the published network: PReLU after the first convolution, and no pool behind it.
    """

    stem_width = 64
    stem_kernel = 7
    stage_sizes = ((3, 64), (4, 128), (6, 256), (3, 512))
    strides = (1, 2, 2, 2)
    unit = BasicUnit
