"""The objective: a weighted list of image losses, each at its own resolution, plus regularisers of the code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import ParamsError, UnsupportedError
from ganvert.base.registry import lookup
from ganvert.generators.base import SynthesisInput
from ganvert.images import area_resize, as_drawn, as_rgb, from_pil
from ganvert.inversion.contract import Batch, Context
from ganvert.inversion.inputs import check_name, input_files, open_inputs
from ganvert.losses import LOSSES, Loss
from ganvert.spaces import Space
from ganvert.spaces.prior import prior

__all__ = ["REGULARISERS", "Objective", "Penalised", "Term", "inputs_of"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Term:
    """One line of an objective.

    `mask` and `picture` are names in the folder of inputs: a PNG for all images, or a folder with IMAGE_ID.png for
    each, of the generator's size.

    Attributes:
        loss: name in ``ganvert.losses.LOSSES``.
        weight: factor.
        resolution: both images are area-resized to it where they are larger; None is the generator's own.
        mask: both images are multiplied by it before the loss: white counts, black does not, grey counts partly.
            Images are in [-1, 1], so what does not count is mid-grey to the loss (Abdal et al. 2020, Image2StyleGAN++;
            IDInvert's diffusion does the same).
        outside: what is black in the mask counts instead.
        picture: the image is compared with this one, not with the photograph.
    """

    loss: str
    weight: float = 1.0
    resolution: int | None = 256
    mask: str | None = None
    outside: bool = False
    picture: str | None = None

    def __post_init__(self) -> None:
        lookup(LOSSES, self.loss, "loss")
        if self.weight < 0 or (self.resolution is not None and self.resolution < 16):
            raise ParamsError(f"weight must not be negative and resolution at least 16, got {self}")
        if self.outside and self.mask is None:
            raise ParamsError("outside: there is no mask to be outside of; name one")
        for field, name in (("mask", self.mask), ("picture", self.picture)):
            if name is not None:
                check_name(name, field)


def inputs_of(terms: Sequence[Term]) -> tuple[str, ...]:
    """Names of the masks and pictures of some terms, each once."""
    return tuple(dict.fromkeys(name for term in terms for name in (term.mask, term.picture) if name is not None))


@dataclasses.dataclass(frozen=True)
class _Line:
    """A term, prepared: its size [px], its loss with the target, and [N, 1, size, size] of its mask."""

    weight: float
    size: int
    loss: Loss[Any]
    prepared: Any
    mask: Tensor | None


class Objective:
    """Terms prepared for one batch of targets."""

    def __init__(self, terms: Sequence[Term], batch: Batch, context: Context, limit: int | None = None) -> None:
        """Prepare the targets.

        Args:
            terms: the lines.
            batch: the targets.
            context: where weights, masks and pictures lie.
            limit: no term looks at more pixels than this (early low-resolution steps).

        Raises:
            InputError: a mask or picture is missing or does not fit.
        """
        self.lines: list[_Line] = []
        for term in terms:
            size = min(size for size in (batch.targets.shape[-1], term.resolution, limit) if size)
            loss = LOSSES[term.loss](context.folder, batch.targets.device)
            target, mask = area_resize(_target(term, batch, context), size), _mask(term, batch, context)
            if mask is not None:
                mask = area_resize(mask, size).expand(len(batch), -1, -1, -1)
                target = target * mask
            # Float32 even where autocast made them of less: differences from them are then float32 too.
            prepared = _each(lambda parts: parts[0].float(), loss.prepare(target))
            self.lines.append(_Line(term.weight, size, loss, prepared, mask))

    @property
    def px(self) -> int:
        """The side of the largest picture that a term looks at."""
        return max(line.size for line in self.lines)

    def __call__(self, images: Tensor) -> Tensor:
        """[N] weighted sums; images are [N, 1 or 3, h, w], and as large as :attr:`px` at least."""
        sizes: dict[int, Tensor] = {}
        total = images.new_zeros(len(images))
        for line in self.lines:
            if line.size not in sizes:
                sizes[line.size] = area_resize(as_rgb(images), line.size)
            seen = sizes[line.size] if line.mask is None else sizes[line.size] * line.mask
            total = total + line.weight * line.loss(seen, line.prepared).float()
        return total

    @staticmethod
    def join(parts: Sequence[Objective]) -> Objective:
        """Objectives of the same terms, prepared at the same sizes, as one of all their images."""
        if len(parts) == 1:
            return parts[0]
        joined = object.__new__(Objective)
        joined.lines = [
            dataclasses.replace(
                lines[0],
                prepared=_each(torch.cat, *(line.prepared for line in lines)),
                mask=None if lines[0].mask is None else torch.cat([line.mask for line in lines]),
            )
            for lines in zip(*(part.lines for part in parts), strict=True)
        ]
        return joined


def _each(change: Callable[[list[Tensor]], Tensor], *trees: Any) -> Any:
    """What losses prepared, tensor by tensor: `change` is given those that have the same place in all `trees`."""
    first = trees[0]
    if isinstance(first, Tensor):
        return change(list(trees))
    if isinstance(first, Mapping):
        return {key: _each(change, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, list | tuple):
        return type(first)([_each(change, *parts) for parts in zip(*trees, strict=True)])
    raise TypeError(
        f"a loss prepared {type(first).__name__}; wanted tensors with a row per image, in lists or mappings"
    )


def _target(term: Term, batch: Batch, context: Context) -> Tensor:
    """[N, 3, resolution, resolution]: what the images are compared with."""
    if term.picture is None:
        return batch.targets
    size = batch.targets.shape[-1]
    pictures = open_inputs(input_files(context.inputs, term.picture, batch.image_ids), size)
    drawn = as_drawn(from_pil(pictures), context.generator.image_channels, size)
    return drawn.to(batch.targets).expand(len(batch), -1, -1, -1)


def _mask(term: Term, batch: Batch, context: Context) -> Tensor | None:
    """[1 or N, 1, resolution, resolution] in [0, 1]: how much each pixel counts."""
    if term.mask is None:
        return None
    masks = open_inputs(input_files(context.inputs, term.mask, batch.image_ids), batch.targets.shape[-1])
    white = from_pil([mask.convert("L") for mask in masks])[:, :1].add(1).div(2).to(batch.targets)
    return 1 - white if term.outside else white


@dataclasses.dataclass(frozen=True)
class Penalised:
    """What a regulariser of the code looks at.

    Attributes:
        space: the latent space.
        variables: the code after some steps, name to [N, *shape].
        start: the code before the first step.
        told: what the generator is told for the code.
        images: [N, C, h, w] that it draws, in the size that objective and encoder look at or a larger one.
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
    return encoder.rows(area_resize(as_rgb(code.images), encoder.input_px))[:, code.space.first_coded :]


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
#: (II2S, BDInvert); distance of the feature map from its start (BDInvert, F/Z+ paper eq. 3; f0, what a
#: base-code encoder predicts, where it starts there); distance of the code (IDInvert), or of the code before the first
#: step (Chai et al. 2021), from what the encoder says of the picture.
REGULARISERS: Mapping[str, Callable[[Penalised], Tensor]] = {
    "w_norm": _w_norm,
    "delta": _delta,
    "pn": _pn,
    "base": _base,
    "encoder": _encoder,
    "encoder_start": _encoder_start,
}
