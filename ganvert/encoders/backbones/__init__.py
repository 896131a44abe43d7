"""Backbones by name.

They make features of pictures. The package may import `losses` and what lies below.
"""

from __future__ import annotations

from ganvert.encoders.backbones.base import Backbone
from ganvert.encoders.backbones.blaze import Blaze
from ganvert.encoders.backbones.parsing import Parsing, ParsingFrozen
from ganvert.encoders.backbones.plain import Plain, PlainNarrow
from ganvert.encoders.backbones.residual import Residual
from ganvert.encoders.backbones.resnet34 import ResNet34
from ganvert.encoders.backbones.resnet_ir import IR18, IR50, IResNet50
from ganvert.encoders.backbones.vgg import VGGBackbone

__all__ = ["BACKBONES", "Backbone"]

BACKBONES: dict[str, type[Backbone]] = {
    "blaze": Blaze,
    "ir18": IR18,
    "ir50": IR50,
    "iresnet50": IResNet50,
    "parsing": Parsing,
    "parsing_frozen": ParsingFrozen,
    "plain": Plain,
    "plain_narrow": PlainNarrow,
    "residual": Residual,
    "resnet34": ResNet34,
    "vgg": VGGBackbone,
}
