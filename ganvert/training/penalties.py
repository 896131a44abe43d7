"""Penalties of a predicted code, one number per image, as the papers that train encoders define them.

Inversion has penalties of the same names with other formulas (:mod:`ganvert.inversion.objective`): there they are
means of squares over all coordinates, so that one weight serves generators of any number and width of rows. Here they
are the norms of the papers, so that the papers' weights hold as printed.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ganvert.encoders.heads import Prediction

__all__ = ["PART_OF", "PREDICTION_PENALTIES"]


def _w_norm(prediction: Prediction, w_avg: Tensor) -> Tensor:
    """Return ``|ws - w_avg|_F``: one norm of the whole code per image, neither squared nor averaged over rows."""
    return (prediction["ws"] - w_avg).flatten(1).norm(dim=1)


def _delta(prediction: Prediction, w_avg: Tensor) -> Tensor:
    """Return ``sum_i |ws_i - ws_0|_2``: e4e's offsets are measured from the first row, not from the rows' mean."""
    del w_avg
    ws = prediction["ws"]
    return (ws[:, 1:] - ws[:, :1]).norm(dim=2).sum(dim=1)


def _alignment(prediction: Prediction, w_avg: Tensor) -> Tensor:
    """Return the mean of ``|D' - D|``: how far the aligned distortion is from the true one."""
    del w_avg
    return prediction["alignment"].abs().mean(dim=(1, 2, 3))


#: Name in ``train_encoder.options.NAME.regularise`` -> function of a prediction and w_avg, [N].
#:
#: ``w_norm``: Frobenius norm of ws - w_avg. pSp's w-norm loss (Richardson et al. 2021, release) and L_reg of PadInv
#: (Bai et al. 2022, eq. 5). Inversion's ``w_norm`` is the mean square of the same difference.
#: ``delta``: sum over rows 1, 2, ... of their Euclidean distance from row 0. L_d-reg of e4e (Tov et al. 2021, eq. 4).
#: Inversion's ``delta`` is the mean square of the rows' distance from their mean.
#: ``alignment``: L1 between the distortion that HFGI's aligner returns and what it was before its misalignment (Wang et
#: al. 2022, release); of encoders with the head ``consultation``.
PREDICTION_PENALTIES: dict[str, Callable[[Prediction, Tensor], Tensor]] = {
    "w_norm": _w_norm,
    "delta": _delta,
    "alignment": _alignment,
}

#: Penalty -> the part of a prediction that it is of.
PART_OF = {"w_norm": "ws", "delta": "ws", "alignment": "alignment"}
