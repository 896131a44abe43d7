"""The objective: a weighted list of image losses, each at its own resolution, plus regularisers of the code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ganvert.errors import ParamsError, UnsupportedError
from ganvert.generators.base import SynthesisInput
from ganvert.images import area_resize, as_rgb
from ganvert.inverters.base import Batch, Context
from ganvert.losses import LOSSES
from ganvert.registry import lookup
from ganvert.spaces import Space
from ganvert.spaces.prior import prior

__all__ = ["REGULARISERS", "Objective", "Penalised", "Term"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Term:
    """One line of an objective.

    Attributes:
        loss: name in ``ganvert.losses.LOSSES``.
        weight: factor.
        resolution: both images are area-resized to it where they are larger; None is the generator's own.
    """

    loss: str
    weight: float = 1.0
    resolution: int | None = 256

    def __post_init__(self) -> None:
        lookup(LOSSES, self.loss, "loss")
        if self.weight < 0 or (self.resolution is not None and self.resolution < 16):
            raise ParamsError(f"weight must not be negative and resolution at least 16, got {self}")


class Objective:
    """Terms prepared for one batch of targets."""

    def __init__(self, terms: Sequence[Term], batch: Batch, context: Context, limit: int | None = None) -> None:
        """Prepare the targets.

        Args:
            terms: the lines.
            batch: the targets.
            context: where weights lie.
            limit: no term looks at more pixels than this (early low-resolution steps).
        """
        targets, folder = batch.targets, context.folder
        self.lines: list[tuple[float, int, Any, Any]] = []
        for term in terms:
            sizes = (targets.shape[-1], term.resolution, limit)
            size = min(size for size in sizes if size)
            loss = LOSSES[term.loss](folder, targets.device)
            self.lines.append((term.weight, size, loss, loss.prepare(area_resize(targets, size))))

    def __call__(self, images: Tensor) -> Tensor:
        """[N] weighted sums; images are [N, 1 or 3, h, w]."""
        sizes: dict[int, Tensor] = {}
        total = images.new_zeros(len(images))
        for weight, size, loss, prepared in self.lines:
            if size not in sizes:
                sizes[size] = area_resize(as_rgb(images), size)
            total = total + weight * loss(sizes[size], prepared)
        return total


@dataclasses.dataclass(frozen=True)
class Penalised:
    """What a regulariser of the code looks at.

    Attributes:
        space: the latent space.
        variables: the code after some steps, name to [N, *shape].
        start: the code before the first step.
        told: what the generator is told for the code.
        images: [N, C, h, w] that it draws.
        context: for the encoder.
    """

    space: Space
    variables: Mapping[str, Tensor]
    start: Mapping[str, Tensor]
    told: SynthesisInput
    images: Tensor
    context: Context

    @property
    def ws(self) -> Tensor:
        """The coded rows of ws, [N, rows, w_dim]; UnsupportedError in S."""
        if self.told.ws is None or self.told.styles:
            raise UnsupportedError(f"this penalty is of ws, which space {self.space.name!r} has none of")
        return self.told.ws[:, self.space.first_coded :]


def _w_norm(code: Penalised) -> Tensor:
    return (code.ws - code.space.generator.w_avg).square().mean(dim=(1, 2))


def _delta(code: Penalised) -> Tensor:
    return (code.ws - code.ws.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2))


def _pn(code: Penalised) -> Tensor:
    return prior(code.space.generator).whiten(code.ws).square().mean(dim=(1, 2))


def _encoded(code: Penalised) -> Tensor:
    encoder = code.context.require_encoder()
    return encoder(area_resize(as_rgb(code.images), encoder.input_px))[:, code.space.first_coded :]


def _encoder(code: Penalised) -> Tensor:
    return (code.ws - _encoded(code)).square().mean(dim=(1, 2))


def _encoder_start(code: Penalised) -> Tensor:
    started = dataclasses.replace(code, told=code.space.decode(code.start))
    return (started.ws - _encoded(code)).square().mean(dim=(1, 2))


def _base(code: Penalised) -> Tensor:
    if "f" not in code.variables:
        raise UnsupportedError(f"the penalty 'base' is of a feature map, which space {code.space.name!r} has none of")
    return (code.variables["f"] - code.start["f"]).square().mean(dim=(1, 2, 3))


#: name -> penalty of a code, [N]: distance from the mean code; spread of the rows; mean square of the whitened rows
#: (II2S, BDInvert); distance of the feature map from its start (BDInvert, F/Z+ paper eq. 3); distance of the code
#: (IDInvert), or of the code before the first step (Chai et al. 2021), from what the encoder says of the picture.
REGULARISERS: Mapping[str, Callable[[Penalised], Tensor]] = {
    "w_norm": _w_norm,
    "delta": _delta,
    "pn": _pn,
    "base": _base,
    "encoder": _encoder,
    "encoder_start": _encoder_start,
}
