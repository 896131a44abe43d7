"""Truncated Z and Z+, as in the code published with F/Z+ (truncation: Karras et al. 2019, appendix B)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganvert.spaces.base import Space
from ganvert.spaces.z import Z, ZPlus

__all__ = ["CUTOFF", "PSI", "ZPlusPsi", "ZPsi"]

PSI = 0.7
CUTOFF = 8  # number of rows of ws, from the first on, that are truncated


class _Truncated(Space):
    """Truncates rows 0 to 7 of ws: ``w_i = w_avg + 0.7 (M(z_i) - w_avg)``."""

    def whole(self, rows: Tensor) -> Tensor:
        ws = super().whole(rows)
        # With psi = 0 any z gives the mean; unlike w_avg it is each row's own where rows have their own means.
        mean = self.generator.map(ws.new_zeros(1, self.generator.z_dim), psi=0.0)[:, :CUTOFF]
        return torch.cat([mean + PSI * (ws[:, :CUTOFF] - mean), ws[:, CUTOFF:]], dim=1)


class ZPlusPsi(_Truncated, ZPlus):
    """Z+ with the first rows truncated."""

    name = "zplus_psi"


class ZPsi(_Truncated, Z):
    """Z with the first rows truncated."""

    name = "z_psi"
