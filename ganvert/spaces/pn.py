"""P_N and P_N+: whitened, deactivated w, whose prior is a standard normal (Zhu et al. 2020; BDInvert)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ganvert.spaces.base import Variables
from ganvert.spaces.prior import prior
from ganvert.spaces.w import WPlus

__all__ = ["PN", "PNPlus"]


class PNPlus(WPlus):
    """One whitened vector v per row of ws: ``w = leaky_relu_0.2((v sqrt(lambda)) C^T + mu)``. Edited in W."""

    name = "pnplus"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"v": (self.rows, self.generator.w_dim)}

    def from_ws(self, ws: Tensor) -> Variables:
        # The same statistics for every row: the mapping network has one distribution of w, whichever layer reads it.
        return {"v": prior(self.generator).whiten(ws[:, self.first_row :])}

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        return self.whole(prior(self.generator).colour(variables["v"]))


class PN(PNPlus):
    """One whitened vector for all rows. ws that differ between rows are averaged first."""

    name = "pn"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"v": (1, self.generator.w_dim)}

    def from_ws(self, ws: Tensor) -> Variables:
        # Averaged as w: the deactivation is not linear, so that the mean of whitened rows would be another code.
        return {"v": prior(self.generator).whiten(ws[:, self.first_row :].mean(dim=1, keepdim=True))}

    def to_ws(self, variables: Mapping[str, Tensor]) -> Tensor:
        return self.whole(prior(self.generator).colour(variables["v"]).expand(-1, self.rows, -1))
