"""The contract of inverters: a batch of photographs in, codes out, one status per image."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import InputError, ParamsError, ShapeError, UnsupportedError
from ganvert.compute.precision import AUTO, Engine, Speed
from ganvert.discriminators import Discriminator
from ganvert.encoders.base import Encoder
from ganvert.encoders.joint import JointEncoder
from ganvert.generators.base import Generator
from ganvert.spaces import Variables

__all__ = ["Batch", "Context", "Inversion", "OnStep", "Watch", "fingerprint_of", "join", "part_of"]

#: Called after a step with (steps done, steps in all, objectives of the images in work).
OnStep = Callable[[float, float, Tensor], None]
#: Called after a step of an image with a function that returns its code so far, as it would be the result now: valid
#: until the next step. Where it returns True, the image is done.
Watch = Callable[[Callable[[], "Inversion"]], bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """What an inverter works with beside the photographs.

    Attributes:
        generator: the frozen generator, on its device.
        folder: the asset folder (LPIPS weights); None for the default one.
        encoder: for methods that start from one, or from several.
        inputs: folder of the masks and second pictures that terms of an objective name.
        discriminator: the checkpoint's own, if it has one, for methods with an adversarial loss.
        side_by_side: how many images of a batch are in work at once at most; the first that is done makes room for the
            next. None is as many as fit into memory where batching helps, and one on a CPU.
        speed: precision and compilation of optimisations.
        watch: sees the codes of an optimisation while they form, and may end it (:data:`Watch`).
    """

    generator: Generator
    folder: Path | None = None
    encoder: Encoder | JointEncoder | None = None
    inputs: Path | None = None
    discriminator: Discriminator | None = None
    side_by_side: int | None = None
    speed: Speed = AUTO
    watch: Watch | None = None

    def __post_init__(self) -> None:
        if self.side_by_side is not None and self.side_by_side < 1:
            raise ParamsError(f"side_by_side: wanted 1 or more, got {self.side_by_side}")

    @property
    def device(self) -> torch.device:
        """Device of the generator, where everything runs."""
        return self.generator.w_avg.device

    @cached_property
    def engine(self) -> Engine:
        """The generator at the requested speed; made once, so that what it measures holds for all batches."""
        return Engine(self.generator, self.speed)

    def watched(self, watch: Watch | None) -> Context:
        """Return the same context with another watch; what its engine measures holds for both."""
        other = dataclasses.replace(self, watch=watch)
        other.__dict__["engine"] = self.engine
        return other

    def require_encoder(self) -> Encoder | JointEncoder:
        """Return the encoder; raise UnsupportedError where there is none."""
        if self.encoder is None:
            raise UnsupportedError("this method starts from an encoder: give its weights (params: invert.methods.NAME)")
        return self.encoder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """N images to invert. They do not influence each other.

    Attributes:
        targets: [N, 3, resolution, resolution] in [-1, 1], on the context's device; three equal channels where the
            generator is grey. For `optimise` and `feed_forward` they may be on the CPU: an image goes to the device
            when its turn comes.
        seeds: one per image.
        image_ids: one per image, or none; masks of single images are found by them.
        start: the result of an earlier stage of the method, or None.
        masks: [N, 1, resolution, resolution] in [0, 1], how much each pixel counts in every term of an objective,
            beside the term's own mask; None where all pixels do.
    """

    targets: Tensor
    seeds: Sequence[int]
    image_ids: Sequence[str] = ()
    start: Inversion | None = None
    masks: Tensor | None = None

    def __post_init__(self) -> None:
        if len(self.seeds) != len(self.targets):
            raise ShapeError(f"batch: {len(self.targets)} images need as many seeds, got {len(self.seeds)}")
        if self.image_ids and len(self.image_ids) != len(self.targets):
            raise ShapeError(f"batch: {len(self.targets)} images need as many ids, got {len(self.image_ids)}")
        wanted = (len(self.targets), 1, *self.targets.shape[2:])
        if self.masks is not None and tuple(self.masks.shape) != wanted:
            raise ShapeError(f"batch: masks: wanted {list(wanted)}, got {list(self.masks.shape)}")
        # A single nan would make every objective nan and pass for divergence of the method.
        bad = [i for i, image in enumerate(self.targets) if not image.isfinite().all()]
        if bad:
            names = [self.image_ids[i] if self.image_ids else str(i) for i in bad]
            raise InputError(f"images {', '.join(names)}: wanted numbers in [-1, 1], got nan or infinity")

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its targets on a device."""
        masks = None if self.masks is None else self.masks.to(device)
        return dataclasses.replace(self, targets=self.targets.to(device), masks=masks)

    def select(self, index: int) -> Batch:
        """Return the batch of one image."""
        return Batch(
            targets=self.targets[index : index + 1],
            seeds=self.seeds[index : index + 1],
            image_ids=self.image_ids[index : index + 1],
            start=self.start and self.start.select(index),
            masks=None if self.masks is None else self.masks[index : index + 1],
        )

    def require_start(self) -> Inversion:
        """Return the start; raise ParamsError where there is none."""
        if self.start is None:
            raise ParamsError("this stage resumes an earlier one: put it behind another (inverter: chain)")
        return self.start


@dataclasses.dataclass
class Inversion:
    """Codes of N images.

    Attributes:
        space: name of the latent space.
        variables: name to [N, *shape], float32 on the CPU.
        noise: optimised noise maps, or empty.
        trace: [N, steps] objective per step; nan for steps that were not taken (it had converged, or diverged).
        best_step: [N] step of the smallest objective.
        status: per image, ``ok`` or ``diverged``.
        reason: per image, why it diverged; empty where it did not.
        weights: per image, what is added to the generator's weights, by their names; empty where it is not tuned.
    """

    space: str
    variables: Variables
    noise: list[Tensor]
    trace: Tensor
    best_step: Tensor
    status: list[str]
    reason: list[str]
    weights: list[dict[str, Tensor]] = dataclasses.field(default_factory=list)

    def select(self, index: int) -> Inversion:
        """Return the inversion of one image."""
        rows = slice(index, index + 1)
        return Inversion(
            self.space,
            {name: value[rows] for name, value in self.variables.items()},
            [value[rows] for value in self.noise],
            self.trace[rows],
            self.best_step[rows],
            self.status[rows],
            self.reason[rows],
            self.weights[rows],
        )


def join(parts: Sequence[Inversion]) -> Inversion:
    """Return the inversions of several batches, made by one method, as one."""
    first = parts[0]
    return Inversion(
        first.space,
        {name: torch.cat([part.variables[name] for part in parts]) for name in first.variables},
        [torch.cat(maps) for maps in zip(*(part.noise for part in parts), strict=True)],
        torch.cat([part.trace for part in parts]),
        torch.cat([part.best_step for part in parts]),
        [status for part in parts for status in part.status],
        [reason for part in parts for reason in part.reason],
        [weights for part in parts for weights in part.weights],
    )


def part_of(on_step: OnStep | None, done: int, size: int, total: int) -> OnStep | None:
    """Return what a part of the work reports to: it is `size` of `total` steps, after `done` others."""
    if on_step is None:
        return None
    return lambda step, steps, objectives: on_step(done + size * step / steps, total, objectives)


def fingerprint_of(options: Any) -> str:
    """Return 16 hex digits that name a set of options: a dataclass, or a mapping of JSON values."""
    # Sorted keys: the order in which options are written in a file does not matter.
    text = json.dumps(options if isinstance(options, dict) else dataclasses.asdict(options), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
