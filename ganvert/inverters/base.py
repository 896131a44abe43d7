"""The inverter contract: photographs in, codes out, one status per image."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvert.encoders.base import Encoder
from ganvert.errors import UnsupportedError
from ganvert.generators.base import Generator
from ganvert.spaces import Variables

__all__ = ["Context", "Inversion", "OnStep", "fingerprint_of", "join"]

#: Called after every step with (steps done, steps in all, objective per image [N]).
OnStep = Callable[[int, int, Tensor], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """What an inverter works with.

    Attributes:
        generator: the frozen generator, on its device.
        folder: the asset folder (LPIPS weights); None for the default one.
        encoder: for methods that start from one.
    """

    generator: Generator
    folder: Path | None = None
    encoder: Encoder | None = None

    @property
    def device(self) -> torch.device:
        """Where everything runs."""
        return self.generator.w_avg.device

    def require_encoder(self) -> Encoder:
        """The encoder, or UnsupportedError."""
        if self.encoder is None:
            raise UnsupportedError("this method starts from an encoder: give its weights (params: invert.methods.NAME)")
        return self.encoder


@dataclasses.dataclass
class Inversion:
    """Codes of N images.

    Attributes:
        space: name of the latent space.
        variables: name to [N, *shape], float32 on the CPU.
        noise: optimised noise maps, or empty.
        trace: [N, steps] objective per step.
        best_step: [N] step of the smallest objective.
        status, reason: per image, ``ok`` or ``diverged``.
    """

    space: str
    variables: Variables
    noise: list[Tensor]
    trace: Tensor
    best_step: Tensor
    status: list[str]
    reason: list[str]


def join(parts: Sequence[Inversion]) -> Inversion:
    """Batches of one method put together again."""
    first = parts[0]
    return Inversion(
        first.space,
        {name: torch.cat([part.variables[name] for part in parts]) for name in first.variables},
        [torch.cat(maps) for maps in zip(*(part.noise for part in parts), strict=True)],
        torch.cat([part.trace for part in parts]),
        torch.cat([part.best_step for part in parts]),
        [status for part in parts for status in part.status],
        [reason for part in parts for reason in part.reason],
    )


def fingerprint_of(options: Any) -> str:
    """16 hex digits that name a set of options."""
    text = json.dumps(dataclasses.asdict(options), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
