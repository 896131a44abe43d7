"""Penalties of a predicted code, one number per picture."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ganvert.encoders.heads import Prediction

__all__ = ["REGULARISERS"]


def _w_norm(prediction: Prediction, w_avg: Tensor) -> Tensor:
    return (prediction["ws"] - w_avg).flatten(1).norm(dim=1)


def _delta(prediction: Prediction, w_avg: Tensor) -> Tensor:
    del w_avg
    ws = prediction["ws"]
    return (ws[:, 1:] - ws[:, :1]).norm(dim=2).sum(dim=1)


#: ``w_norm``: Frobenius norm of ws - w_avg over the whole code (L_reg of PadInv, eq. 5; pSp's w-norm loss).
#: ``delta``: sum over the rows of their distance from the first one (e4e, Tov et al. 2021, eq. 4).
REGULARISERS: dict[str, Callable[[Prediction, Tensor], Tensor]] = {"w_norm": _w_norm, "delta": _delta}
