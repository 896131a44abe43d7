"""The objective: a weighted list of image losses, each at its own resolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import ParamsError
from ganvert.base.registry import lookup
from ganvert.images import area_resize, as_drawn, as_rgb, from_pil, to_pil
from ganvert.inversion.contract import Batch, Context
from ganvert.inversion.inputs import check_input_name, input_files, is_region, masks_of, open_inputs
from ganvert.losses import LOSSES, Loss

__all__ = ["Objective", "Term", "inputs_of"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Term:
    """One line of an objective.

    `mask` and `picture` are names in the folder of inputs: a PNG for all images, or a folder with IMAGE_ID.png for
    each, of the generator's size. A mask may also be a region of the face, such as ``hair``
    (``ganvert.faces.parsing.REGIONS``).

    Attributes:
        loss: name in ``ganvert.losses.LOSSES``.
        weight: factor.
        resolution: both images are area-resized to it where they are larger; None is the generator's own.
        mask: both images are multiplied by it before the loss: white counts, black does not, grey counts partly.
            Images are in [-1, 1], so that the loss sees mid-grey where the mask is black (Abdal et al. 2020,
            Image2StyleGAN++; IDInvert's diffusion does the same).
        outside: count what is black in the mask instead.
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
                check_input_name(name, field)
        if self.picture is not None and is_region(self.picture):
            raise ParamsError(f"picture: {self.picture!r} is a region of faces; write './{self.picture}' for a folder")


def inputs_of(terms: Sequence[Term]) -> tuple[str, ...]:
    """Return the names of the masks and pictures of some terms, each once."""
    return tuple(dict.fromkeys(name for term in terms for name in (term.mask, term.picture) if name is not None))


@dataclasses.dataclass(frozen=True)
class _Line:
    """A prepared term: its size [px], its loss with the target, and its mask [N, 1, size, size]."""

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
            terms: the losses and their weights.
            batch: the targets.
            context: where weights, masks and pictures lie.
            limit: no term uses a larger resolution [px] than this (early steps with a preview).

        Raises:
            InputError: a mask or picture is missing or does not fit.
        """
        self.lines: list[_Line] = []
        for term in terms:
            size = min(size for size in (batch.targets.shape[-1], term.resolution, limit) if size)
            loss = LOSSES[term.loss](context.folder, batch.targets.device)
            # The same filter for image and target. LPIPS changes by several per cent from one filter to another.
            target, mask = area_resize(_target(term, batch, context), size), _mask(term, batch, context)
            if mask is not None:
                mask = area_resize(mask, size).expand(len(batch), -1, -1, -1)
                # The target is masked at its reduced size like the image: resizing a masked image would give another
                # border.
                target = target * mask
            # Float32 even under autocast: differences from them are then float32 too, and bfloat16 has only 8 bits.
            prepared = _map_tensors(lambda parts: parts[0].float(), loss.prepare(target))
            self.lines.append(_Line(term.weight, size, loss, prepared, mask))

    @property
    def px(self) -> int:
        """Side of the largest image that a term uses."""
        return max(line.size for line in self.lines)

    def __call__(self, images: Tensor) -> Tensor:
        """Return weighted sums [N] for images [N, 1 or 3, h, w] in [-1, 1] of :attr:`px` or more."""
        # Terms of one resolution share the resized image, and its part of the backward pass.
        sizes: dict[int, Tensor] = {}
        total = images.new_zeros(len(images))
        for line in self.lines:
            if line.size not in sizes:
                sizes[line.size] = area_resize(as_rgb(images), line.size)
            image = sizes[line.size] if line.mask is None else sizes[line.size] * line.mask
            total = total + line.weight * line.loss(image, line.prepared).float()
        return total

    @staticmethod
    def join(parts: Sequence[Objective]) -> Objective:
        """Return one objective for the images of several with the same terms, prepared at the same sizes."""
        if len(parts) == 1:
            return parts[0]
        joined = object.__new__(Objective)
        joined.lines = [
            dataclasses.replace(
                lines[0],
                prepared=_map_tensors(torch.cat, *(line.prepared for line in lines)),
                mask=None if lines[0].mask is None else torch.cat([line.mask for line in lines]),
            )
            for lines in zip(*(part.lines for part in parts), strict=True)
        ]
        return joined


def _map_tensors(change: Callable[[list[Tensor]], Tensor], *trees: Any) -> Any:
    """Return a tree like `trees`, with `change` of the tensors that have the same place in all of them.

    A tree is what a loss prepared: tensors with a row per image, in lists, tuples and mappings of any depth.
    """
    first = trees[0]
    if isinstance(first, Tensor):
        return change(list(trees))
    if isinstance(first, Mapping):
        return {key: _map_tensors(change, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, list | tuple):
        return type(first)([_map_tensors(change, *parts) for parts in zip(*trees, strict=True)])
    raise TypeError(
        f"a loss prepared {type(first).__name__}; wanted tensors with a row per image, in lists or mappings"
    )


def _target(term: Term, batch: Batch, context: Context) -> Tensor:
    """Return what the images are compared with, [N, 3, resolution, resolution]."""
    if term.picture is None:
        return batch.targets
    size = batch.targets.shape[-1]
    pictures = open_inputs(input_files(context.inputs, term.picture, batch.image_ids), size)
    drawn = as_drawn(from_pil(pictures), context.generator.image_channels, size)
    return drawn.to(batch.targets).expand(len(batch), -1, -1, -1)


def _mask(term: Term, batch: Batch, context: Context) -> Tensor | None:
    """Return how much each pixel counts, [1 or N, 1, resolution, resolution] in [0, 1]; None where all do."""
    if term.mask is None:
        return batch.masks
    white = masks_of(term.mask, to_pil(batch.targets), batch.image_ids, context.inputs, context.folder).to(
        batch.targets
    )
    mask = 1 - white if term.outside else white
    return mask if batch.masks is None else mask * batch.masks
