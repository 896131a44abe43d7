"""The state of a training, and its checkpoint: one safetensors file, in which nothing can be executed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.base.files import atomic_path
from ganvert.base.provenance import PLUMBING, closure_digest
from ganvert.checkpoints.weights import read_weights
from ganvert.encoders import Encoder
from ganvert.generators.base import Generator
from ganvert.training.adversary import Adversary
from ganvert.training.ema import Ema
from ganvert.training.optimisers import flat_state, load_flat_state
from ganvert.training.options import TrainOptions

__all__ = ["Checkpoint", "TrainingState"]


@dataclasses.dataclass
class TrainingState:
    """Everything that a step changes.

    Attributes:
        encoder: on its device.
        optimiser: of its parameters.
        ema: running mean of its weights.
        adversary: the discriminator; None without one.
        records: one per finished step: step, every loss, total, and the gradient's norm.
        validation: one per validation: step, mse_256, lpips_alex_256.
    """

    encoder: Encoder
    optimiser: torch.optim.Optimizer
    ema: Ema
    adversary: Adversary | None
    records: list[dict[str, float]] = dataclasses.field(default_factory=list)
    validation: list[dict[str, float]] = dataclasses.field(default_factory=list)

    @property
    def done(self) -> int:
        """Number of finished steps."""
        return len(self.records)


class Checkpoint:
    """The file of one run.

    It is named by everything that decides the result: a run with other options never finds it.
    """

    def __init__(
        self, folder: Path, generator: Generator, options: TrainOptions, start: str, photos: str, discriminator: str
    ) -> None:
        """Name the file.

        Args:
            folder: where it lies.
            generator: of the encoder.
            options: of the training.
            start: fingerprint of the encoder at step 0.
            photos: of the photographs that the encoder or its draft learns from, or ''.
            discriminator: of the one that an adversary of images starts from, or ''.
        """
        code = closure_digest("ganvert.training", "ganvert.compute.device", without=PLUMBING)
        facts = {**dataclasses.asdict(options), "generator": generator.fingerprint(), "code": code}
        facts |= {"label": generator.label, "start": start, "photos": photos, "discriminator": discriminator}
        # How often a run is saved or validated changes nothing in its weights.
        del facts["checkpoint_every"], facts["validate_every"]
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        self.path = folder / f"{name}.safetensors"

    def save(self, state: TrainingState) -> None:
        """Write the state, whole or not at all."""
        groups = {
            "model": state.encoder.trained_state(),
            "ema": state.ema.state(),
            "optimiser": flat_state(state.optimiser),
            "adversary": state.adversary.state() if state.adversary else {},
            # As tensors: the header of a safetensors file has a limit, which the records of a long run would reach.
            "history": {"records": _packed(state.records), "validation": _packed(state.validation)},
        }
        # Clones: safetensors refuses tensors that share memory.
        tensors = {
            f"{group}.{name}": value.detach().cpu().clone().contiguous()
            for group, part in groups.items()
            for name, value in part.items()
        }
        with atomic_path(self.path) as temporary:
            save_file(tensors, temporary)

    def restore(self, state: TrainingState) -> None:
        """Resume a state in place, if there is a checkpoint.

        Raises:
            CheckpointError: the file is damaged.
        """
        if not self.path.exists():
            return
        remedy = "delete it to train from the start"
        tensors, _ = read_weights(self.path)
        if bad := next((key for key, value in tensors.items() if not value.isfinite().all()), None):
            raise CheckpointError(f"{self.path}: {bad} has numbers that are not finite; {remedy}")
        try:
            self._restore(state, tensors)
        # Whatever a file of this name may hold: missing groups, tensors of other shapes, records that are no JSON.
        except (AttributeError, KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self.path}: not the state of this training ({error!r}); {remedy}") from error

    def _restore(self, state: TrainingState, tensors: dict[str, Tensor]) -> None:
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimiser": {}, "adversary": {}, "history": {}}
        for key, value in tensors.items():
            group, _, name = key.partition(".")
            groups[group][name] = value
        if groups["model"].keys() != state.encoder.trained_state().keys():
            raise KeyError("model")
        state.encoder.load_state_dict(groups["model"], strict=False)  # w_avg is the generator's, and not saved
        state.ema.load_state(groups["ema"])
        load_flat_state(state.optimiser, groups["optimiser"])
        if state.adversary:
            state.adversary.load_state(groups["adversary"])
        state.records = _unpacked(groups["history"]["records"])
        state.validation = _unpacked(groups["history"]["validation"])


def _packed(records: list[dict[str, float]]) -> Tensor:
    """Return records as the bytes of their JSON."""
    # A bytearray, because PyTorch warns about buffers that cannot be written to.
    return torch.frombuffer(bytearray(json.dumps(records).encode()), dtype=torch.uint8)


def _unpacked(data: Tensor) -> list[dict[str, float]]:
    """Return the records of such bytes."""
    records: list[dict[str, float]] = json.loads(data.numpy().tobytes())
    return records
