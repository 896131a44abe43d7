"""Everything a killed training needs to go on, in one safetensors file: nothing in it can be executed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import Tensor

from ganvert.base.files import atomic_path
from ganvert.base.provenance import PLUMBING, closure_digest
from ganvert.checkpoints.weights import read_weights
from ganvert.generators.base import Generator
from ganvert.training.optimisers import flat_state, load_flat_state
from ganvert.training.options import TrainOptions

if TYPE_CHECKING:
    from ganvert.training.loop import _Run

__all__ = ["Checkpoint"]


class Checkpoint:
    """Weights, running means, optimiser, discriminator and records of one run.

    The file is named by everything that decides the result: a run with other options starts from nothing.
    """

    def __init__(self, folder: Path, generator: Generator, options: TrainOptions, start: str, photos: str) -> None:
        """`start` and `photos` are the fingerprints of the encoder at step 0 and of the photographs, or ''."""
        code = closure_digest("ganvert.training", "ganvert.compute.device", without=PLUMBING)
        facts = {**dataclasses.asdict(options), "generator": generator.fingerprint(), "code": code}
        facts |= {"label": generator.label, "start": start, "photos": photos}
        del facts["checkpoint_every"], facts["validate_every"]
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        self.path = folder / f"{name}.safetensors"

    def save(self, run: _Run) -> None:
        """Write it whole."""
        groups = {"model": run.encoder.trained_state(), "ema": run.ema.state(), "optimiser": flat_state(run.optimiser)}
        if run.adversary:
            groups["adversary"] = run.adversary.state()
        # As tensors: the header of such a file has a limit, which the records of a long run would reach.
        groups["told"] = {"records": _packed(run.records), "validation": _packed(run.validation)}
        with atomic_path(self.path) as temporary:
            # Clones: safetensors refuses tensors that share memory.
            save_file(
                {
                    f"{g}.{n}": v.detach().cpu().clone().contiguous()
                    for g, part in groups.items()
                    for n, v in part.items()
                },
                temporary,
            )

    def restore(self, run: _Run) -> None:
        """Take everything up again, if there is something."""
        if not self.path.exists():
            return
        state, _ = read_weights(self.path)
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimiser": {}, "adversary": {}, "told": {}}
        for name, value in state.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = value
        run.encoder.load_state_dict(groups["model"], strict=False)
        run.ema.load_state(groups["ema"])
        load_flat_state(run.optimiser, groups["optimiser"])
        if run.adversary:
            run.adversary.load_state(groups["adversary"])
        run.records = _unpacked(groups["told"]["records"])
        run.validation = _unpacked(groups["told"]["validation"])


def _packed(records: list[dict[str, float]]) -> Tensor:
    """JSON as bytes."""
    return torch.frombuffer(bytearray(json.dumps(records).encode()), dtype=torch.uint8)


def _unpacked(data: Tensor) -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads(data.numpy().tobytes())
    return found
