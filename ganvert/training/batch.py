"""One process's share of the batch of a step, as tensors on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ganvert.training.data import Data, Item
from ganvert.training.distributed import World, share
from ganvert.training.options import TrainOptions

__all__ = ["StepBatch", "Subject", "load_batch"]

#: Which images of a batch a loss is of.
Subject = Literal["all", "sample", "photo"]


@dataclasses.dataclass(frozen=True)
class StepBatch:
    """What the encoder sees in a step.

    Attributes:
        number: of the step, over all runs of this encoder.
        items: this process's images.
        counts: how many images of either kind the batch holds over all processes.
        samples: places in `items` of the generator's samples, whose codes are known.
        drawn: places in `items` whose reconstructions are drawn and compared (``objective_on``).
        seen: [N, 3, px, px] in [-1, 1], what the encoder sees. Zero where its backbone's features are cached.
        target: [N, 3, px, px] in [-1, 1], what reconstructions are compared with. Zero where nothing is compared.
    """

    number: int
    items: list[Item]
    counts: Mapping[str, int]
    samples: list[int]
    drawn: list[int]
    seen: Tensor
    target: Tensor

    def mean(self, values: Tensor, subject: Subject) -> Tensor:
        """Return the sum of one number per image [n], divided by how many such images the whole batch has.

        Summed over the processes this is the mean, whatever their shares.
        """
        count = sum(self.counts.values()) if subject == "all" else self.counts[subject]
        return values.sum() / max(count, 1)


def load_batch(data: Data, options: TrainOptions, number: int, world: World) -> StepBatch:
    """Return this process's share of step `number`, its images only where something uses them."""
    everything = data.items(number, options.batch)
    counts = {kind: sum(item.kind == kind for item in everything) for kind in ("sample", "photo")}
    items = share(everything, world)
    drawn = [i for i, item in enumerate(items) if options.objective_on in ("all", f"{item.kind}s")]
    # An item with cached features is not shown to the backbone again, but its clean image may still be a target.
    fresh = [i for i, item in enumerate(items) if not data.keeps(item)]
    cached = [i for i in drawn if options.draws and data.keeps(items[i])]
    seen = torch.zeros(len(items), 3, options.data.px, options.data.px, device=data.device)
    target = torch.zeros_like(seen)
    for places, spoilt in ((fresh, True), (cached, False)):
        if places:
            images = data.pictures([items[i] for i in places], spoilt=spoilt)
            seen[places], target[places] = images[0].to(data.device), images[1].to(data.device)
    samples = [i for i, item in enumerate(items) if item.kind == "sample"]
    return StepBatch(number, items, counts, samples, drawn, seen, target)
