"""dlib's face descriptor as an input of heads: who is shown, in 128 numbers, for a hundredth of a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvert.faces.chips import DLIB, DLIB_POINTS_FFHQ, cut_chips, place_points
from ganvert.faces.dlib_network import load_network
from ganvert.images import area_resize

__all__ = ["DESCRIBED_PX", "DESCRIPTOR_SIZE", "describe"]

DESCRIBED_PX = 256  # side of the described images; their chips are about as large as the network's input
DESCRIPTOR_SIZE = 128
_SCALE = 10.0  # brings coordinates, whose RMS is about 0.1, to the scale of other features


def describe(images: Tensor, folder: Path | None) -> Tensor:
    """Return the descriptors of images that are aligned as FFHQ is; differentiable in the images.

    The chip lies where the face of such an image is on average: nothing is detected, and so nothing can be missed.

    Args:
        images: [N, 3 n, h, h] in [-1, 1], n images stacked along the channels.
        folder: of the assets.

    Returns:
        [N, 128 n, 1, 1], ten times dlib's descriptors.
    """
    network = load_network(folder, images.device)
    # Points are (x, y) with integers at pixel centres.
    place = torch.from_numpy(place_points(np.array(DLIB_POINTS_FFHQ) * DESCRIBED_PX - 0.5, DLIB))
    parts = [area_resize(part, DESCRIBED_PX) for part in images.split(3, dim=1)]
    chips = [cut_chips(part, place.expand(len(part), 2, 3), DLIB.size) for part in parts]
    return _SCALE * torch.cat([network(chip) for chip in chips], dim=1)[:, :, None, None]
