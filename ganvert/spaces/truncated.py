"""Truncated Z and Z+, as the code that was published with F/Z+ maps them (Karras et al. 2019, appendix B)."""

from __future__ import annotations

import torch
from torch import Tensor

from ganvert.spaces.base import Space
from ganvert.spaces.z import Z, ZPlus

__all__ = ["CUTOFF", "PSI", "ZPlusPsi", "ZPsi"]

PSI = 0.7
CUTOFF = 8  # rows of ws from the first on


class _Truncated(Space):
    """``w_i = w_avg + 0.7 (M(z_i) - w_avg)`` in rows 0 to 7 of ws."""

    def whole(self, rows: Tensor) -> Tensor:
        ws = super().whole(rows)
        # Everything truncated is the mean, each row's own in a network whose rows have their own.
        mean = self.generator.map(ws.new_zeros(1, self.generator.z_dim), psi=0.0)[:, :CUTOFF]
        return torch.cat([mean + PSI * (ws[:, :CUTOFF] - mean), ws[:, CUTOFF:]], dim=1)


class ZPlusPsi(_Truncated, ZPlus):
    """Z+ with the first rows truncated."""

    name = "zplus_psi"


class ZPsi(_Truncated, Z):
    """Z with the first rows truncated."""

    name = "z_psi"

    @property
    def tied(self) -> bool:  # type: ignore[override]
        return super().tied and self.generator.num_ws <= CUTOFF
