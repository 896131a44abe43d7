"""Validation of an encoder on photographs it was not trained on, as numbers and as an image."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from ganvert.encoders import Encoder
from ganvert.images import area_resize, as_rgb, to_pil
from ganvert.losses import LOSSES
from ganvert.training.data import Photos

__all__ = ["validate"]

_SIZE = 256


@torch.no_grad()
def validate(encoder: Encoder, photos: Photos, folder: Path | None) -> tuple[dict[str, float], Image.Image]:
    """Encode and reconstruct photographs.

    Args:
        encoder: of one generator, which draws the reconstructions in full.
        photos: the held-out ones, at least one.
        folder: the asset folder, for LPIPS.

    Returns:
        Means of mse_256 and lpips_alex_256, and a sheet with the photographs above their reconstructions.
    """
    device = encoder.w_avg.device
    mse, lpips = LOSSES["mse"](folder, device), LOSSES["lpips_alex"](folder, device)
    tops, bottoms, numbers = [], [], []
    for place in range(len(photos.ids)):
        target = photos.get([place]).to(device)
        # By the generator even where training draws drafts: the numbers are those of results.
        drawn = area_resize(as_rgb(encoder.draw(encoder.encode(target))), _SIZE).clamp(-1, 1)
        target = area_resize(target, _SIZE)
        numbers.append([float(loss(drawn, loss.prepare(target))) for loss in (mse, lpips)])
        tops.append(target.cpu())
        bottoms.append(drawn.cpu())
    mean = torch.tensor(numbers).mean(dim=0).tolist()
    sheet = torch.cat([torch.cat(tops, dim=3), torch.cat(bottoms, dim=3)], dim=2)
    return {"mse_256": mean[0], "lpips_alex_256": mean[1]}, to_pil(sheet)[0]
