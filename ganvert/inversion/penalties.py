"""Penalties of the code that an optimisation adds to its objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ganvert.base.errors import UnsupportedError
from ganvert.generators.base import SynthesisInput
from ganvert.images import area_resize, as_rgb
from ganvert.inversion.contract import Context
from ganvert.spaces import Space
from ganvert.spaces.masked import Masked
from ganvert.spaces.prior import prior

__all__ = ["PENALTIES", "Penalised"]


@dataclasses.dataclass(frozen=True)
class Penalised:
    """What a penalty of the code receives.

    Attributes:
        space: the latent space.
        variables: the code after some steps, name to [N, *shape].
        start: the code before the first step.
        synthesis_input: what the generator draws for the code.
        images: [N, C, h, w] that it draws, at the resolution of objective and encoder or a larger one.
        context: for the encoder.
    """

    space: Space
    variables: Mapping[str, Tensor]
    start: Mapping[str, Tensor]
    synthesis_input: SynthesisInput
    images: Tensor
    context: Context

    @property
    def ws(self) -> Tensor:
        """The coded rows of ws, [N, rows, w_dim]; UnsupportedError in S."""
        if self.synthesis_input.ws is None or self.synthesis_input.styles:
            raise UnsupportedError(f"this penalty is for ws, which space {self.space.name!r} has none of")
        return self.synthesis_input.ws[:, self.space.first_coded :]

    def mean_square(self, rows: Tensor) -> Tensor:
        """Return mean squares [N] over all rows of ws, of `rows` [N, coded rows, w_dim] and zeros elsewhere."""
        # BDInvert's release averages over all 18 rows, although a feature map hides the first four: the published
        # weights belong to this mean. Its hidden rows add a term of their own, which reaches neither image nor gradient
        # of the others, and is left out.
        return rows.square().mean(dim=2).sum(dim=1) / self.space.generator.num_ws


def _w_norm(code: Penalised) -> Tensor:
    """Return the distance from the mean code."""
    # Mean squares, as all penalties here. pSp and PadInv take the norm of the whole code, so that their weights do not
    # carry over.
    return code.mean_square(code.ws - code.space.generator.w_avg)


def _delta(code: Penalised) -> Tensor:
    """Return the spread of the rows around their mean, 0 in W (the aim of e4e's delta loss, Tov et al. 2021)."""
    # e4e's encoder has a base row, and its loss sums the lengths of the offsets from it; a code that is optimised has
    # no base, and its mean row stands in.
    return code.mean_square(code.ws - code.ws.mean(dim=1, keepdim=True))


def _pn(code: Penalised) -> Tensor:
    """Return the mean square of the whitened rows (II2S, Zhu et al. 2020, arXiv 2012.09036; BDInvert)."""
    # P_N is about standard normal, so that this is its negative log density but for constants.
    return code.mean_square(prior(code.space.generator).whiten(code.ws))


def _encoded(code: Penalised) -> Tensor:
    """Return the coded rows that the encoder predicts for the images, differentiable through encoder and generator."""
    # The encoder sees what the generator draws, not the photograph: the code is asked to be one that this image leads
    # back to (the "in-domain" of IDInvert).
    encoder = code.context.require_encoder()
    return encoder.rows(area_resize(as_rgb(code.images), encoder.input_px))[:, code.space.first_coded :]


def _encoder(code: Penalised) -> Tensor:
    """Return the distance of the code from what the encoder predicts for its image (IDInvert, Zhu et al. 2020)."""
    return code.mean_square(code.ws - _encoded(code))


def _encoder_start(code: Penalised) -> Tensor:
    """Return the distance of the first code from what the encoder predicts for the present image (Chai et al. 2021)."""
    # Here the code itself is not held back: only its image is asked to encode to where the search began.
    started = dataclasses.replace(code, synthesis_input=code.space.decode(code.start))
    return code.mean_square(started.ws - _encoded(code))


def _base(code: Penalised) -> Tensor:
    """Return the distance of the feature map from its start (F/Z+ paper, equation 3; BDInvert).

    The start is f0 = E(x) where a base-code encoder predicted it. The papers write a squared norm and their code takes
    the mean, which the published weight of 10 belongs to.
    """
    if "f" not in code.variables:
        raise UnsupportedError(f"the penalty 'base' is for a feature map, which space {code.space.name!r} has none of")
    # A feature map could draw nearly any image. Near f0 it stays one that the later layers, and edits of their rows,
    # can work with.
    return (code.variables["f"] - code.start["f"]).square().mean(dim=(1, 2, 3))


def _differences(code: Penalised) -> Tensor:
    """Return the size of the masked differences of feature maps (SAM, Parmar et al. 2022): what editing cannot reach.

    The mean square of each map, summed over the maps.
    """
    if not isinstance(code.space, Masked):
        raise UnsupportedError(
            f"the penalty 'differences' is for masked feature maps, which space {code.space.name!r} has none of"
        )
    return torch.stack([code.variables[name].square().mean(dim=(1, 2, 3)) for name in code.space.differences]).sum(0)


#: name -> penalty of a code, [N]
PENALTIES: Mapping[str, Callable[[Penalised], Tensor]] = {
    "w_norm": _w_norm,
    "delta": _delta,
    "pn": _pn,
    "base": _base,
    "differences": _differences,
    "encoder": _encoder,
    "encoder_start": _encoder_start,
}
