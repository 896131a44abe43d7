"""The feature pyramid between backbone and heads (Lin et al. 2017, arXiv 1612.03144; pSp; PadInv, Table S1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FPN"]


class FPN(nn.Module):
    """Brings every tap to one width and adds the coarser levels to it.

    The coarsest tap is not projected where it has that width already: pSp's pyramid has no projection there.
    """

    def __init__(self, taps: dict[int, int], width: int | None = None) -> None:
        """Build it for `taps`, side [px] to channels, fine to coarse; `width` None is that of the coarsest tap."""
        super().__init__()
        *finer, (last, channels) = taps.items()
        width = width or channels
        self.last = last
        self.top = nn.Identity() if channels == width else nn.Conv2d(channels, width, 1)
        self.lateral = nn.ModuleDict({str(side): nn.Conv2d(c, width, 1) for side, c in finer})
        self.taps = dict.fromkeys(taps, width)

    def forward(self, taps: dict[int, Tensor]) -> dict[int, Tensor]:
        """Map side -> [N, c, side, side] to side -> [N, width, side, side]."""
        x = self.top(taps[self.last])
        out = {self.last: x}
        # Coarse to fine, so that every level has the sum of all coarser ones.
        for side in sorted(int(name) for name in self.lateral):
            # Aligned corners, as in the releases of pSp and e4e: their weights would see maps shifted by up to half a
            # pixel otherwise.
            up = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=True)
            x = up + self.lateral[str(side)](taps[side])
            out[side] = x
        return {side: out[side] for side in taps}
