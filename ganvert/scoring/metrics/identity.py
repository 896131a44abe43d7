"""Identity as a metric: the distance of two faces' descriptors."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ganvert.images import to_pil

__all__ = ["identity_measure"]


def identity_measure(folder: Path) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the Euclidean distance of dlib's 128-d face descriptors: same person below 0.6, nan without a face.

    A distance and not a cosine: dlib's descriptors are not centred, so their cosines crowd between 0.8 and 1.

    Raises:
        AssetError: dlib's models are not in `folder`.
    """
    from ganvert.faces.identity import IdentityEmbedder, distance

    embedder = IdentityEmbedder(folder)

    def measure(images: Tensor, targets: Tensor) -> Tensor:
        pairs = zip(embedder.embed(to_pil(images)), embedder.embed(to_pil(targets)), strict=True)
        # No face is no number, rather than the worst one: means are over pairs of two faces.
        distances = [math.nan if a is None or b is None else distance(a, b) for a, b in pairs]
        return torch.tensor(distances, dtype=torch.float64)

    return measure
