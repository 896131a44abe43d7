"""Image losses by name.

The package may import `faces` and what lies below.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ganvert.losses.base import Loss
from ganvert.losses.checkerboard import Checkerboard
from ganvert.losses.identity import IdentityDlib
from ganvert.losses.laplacian import Laplacian
from ganvert.losses.perceptual import (
    Gram,
    IdInvertPerceptual,
    Image2StyleganPerceptual,
    Image2StyleganPlusPlusPerceptual,
    LpipsAlex,
    LpipsVgg,
)
from ganvert.losses.pixel import L1, Mse

__all__ = ["LOSSES", "Loss"]

#: name -> constructor(asset folder, device)
LOSSES: dict[str, Callable[[Path | None, torch.device], Loss[Any]]] = {
    "mse": Mse,
    "l1": L1,
    "lpips_vgg": LpipsVgg,
    "lpips_alex": LpipsAlex,
    "vgg_i2s": Image2StyleganPerceptual,
    "vgg_i2spp": Image2StyleganPlusPlusPerceptual,
    "vgg_conv4_3": IdInvertPerceptual,
    "gram": Gram,
    "laplacian": Laplacian,
    "checkerboard": Checkerboard,
    "identity_dlib": IdentityDlib,
}
