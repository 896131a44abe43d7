"""Generators: one module per architecture, and the function that loads one from a file.

The package may import `checkpoints` and what lies below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvert.base.errors import CheckpointError, UnknownNameError, UnsupportedError
from ganvert.base.registry import lookup
from ganvert.checkpoints.read import read_checkpoint
from ganvert.checkpoints.tensors import finite
from ganvert.generators.base import FeaturePoint, Generator, PaddableConv, StyleSlot, SynthesisInput
from ganvert.generators.blaze_stylegan import BlazeStyleGAN
from ganvert.generators.mobile_stylegan import MobileStyleGAN
from ganvert.generators.stylegan1 import StyleGAN1
from ganvert.generators.stylegan2 import StyleGAN2
from ganvert.generators.stylegan3 import StyleGAN3

__all__ = [
    "GENERATORS",
    "FeaturePoint",
    "Generator",
    "PaddableConv",
    "StyleSlot",
    "SynthesisInput",
    "build_generator",
    "load_generator",
]


#: architecture -> builds the module whose sizes fit a state dict and a configuration
GENERATORS: dict[str, Callable[[Mapping[str, Tensor], Mapping[str, Any]], Generator]] = {
    "blaze_stylegan": BlazeStyleGAN.for_state,
    "mobile_stylegan": MobileStyleGAN.for_state,
    "stylegan1": StyleGAN1.for_state,
    "stylegan2": StyleGAN2.for_state,
    "stylegan3": StyleGAN3.for_state,
}


def build_generator(
    architecture: str, state: Mapping[str, Tensor], config: Mapping[str, Any], where: str = "checkpoint"
) -> Generator:
    """Build the generator of a state dict in ganvert's names: frozen, in eval mode, on the CPU.

    Args:
        architecture: a name in :data:`GENERATORS`.
        state: the tensors.
        config: what they do not show; see the architecture's class.
        where: what error messages call the file.

    Raises:
        CheckpointError: no such architecture, the tensors do not fit it, or numbers are not finite.
    """
    try:
        make = lookup(GENERATORS, architecture, "generator architecture")
    except UnknownNameError as error:
        raise CheckpointError(f"{where}: {error}") from error
    try:
        generator = make(state, config)
    except CheckpointError as error:
        raise CheckpointError(f"{where}: {error}") from error
    try:
        # Assigned, not copied: readers of checkpoints return copies, and a large file should be in memory once.
        generator.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{where}: tensors do not fit {architecture}: {error}") from error
    if bad := next((name for name, value in generator.state_dict().items() if not finite(value)), None):
        raise CheckpointError(f"{where}: {bad}: wanted finite numbers, got others; the file is of a failed training")
    generator.config = dict(config)
    return generator.eval().requires_grad_(False)


def load_generator(path: Path | str, label: int | None = None) -> Generator:
    """Load a generator from a checkpoint of any format (``ganvert.checkpoints.FORMATS``), on the CPU.

    It is frozen and in eval mode, with averaged (EMA) weights if the file has them. Nothing in the file is executed.

    Args:
        path: the file; its format is recognised by its content.
        label: the class that a conditional generator uses when no labels are given.

    Raises:
        CheckpointError: the file is missing, damaged, hostile, of an unknown layout, or its tensors do not fit.
        UnsupportedError: `label` is not a class of this generator.
    """
    checkpoint = read_checkpoint(path)
    generator = build_generator(checkpoint.architecture, checkpoint.state, checkpoint.config, str(path))
    if label is not None and not 0 <= label < generator.label_dim:
        raise UnsupportedError(f"{path}: label {label}: this generator has {generator.label_dim or 'no'} classes")
    generator.label, generator.source = label, Path(path)
    return generator
