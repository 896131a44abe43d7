"""Discriminators by architecture, and how a file becomes one.

The package may import `assets` and what lies below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvert.base.errors import CheckpointError, UnsupportedError
from ganvert.discriminators.base import Discriminator
from ganvert.discriminators.stylegan2 import StyleGAN2Discriminator, fresh

__all__ = ["DISCRIMINATORS", "Discriminator", "fresh", "load_discriminator"]

#: architecture -> module whose sizes fit a state dict and a configuration
DISCRIMINATORS: dict[str, Callable[[Mapping[str, Tensor], Mapping[str, Any]], Discriminator]] = {
    "stylegan2": StyleGAN2Discriminator.for_state,
}


def load_discriminator(path: Path | str, label: int | None = None) -> Discriminator | None:
    """Read the discriminator beside a generator in a checkpoint, onto the CPU, with parameters that can be trained.

    Pickles of NVlabs (stylegan2-ada-pytorch, stylegan3) and files of rosinality have one. Nothing in the file is
    executed.

    Args:
        path: a file that :func:`ganvert.generators.load_generator` reads.
        label: the class that a conditional discriminator takes where it is given no labels.

    Returns:
        The discriminator; None where the file has none, or its format is read for generators only (TensorFlow,
        genforce, ganvert).

    Raises:
        CheckpointError: the file is missing, damaged, hostile or of an unknown layout, or its discriminator is not a
            residual StyleGAN2 one.
        UnsupportedError: `label` is no class of this discriminator.
    """
    from ganvert.checkpoints.read import read_discriminator  # formats know our modules

    checkpoint = read_discriminator(path)
    if checkpoint is None:
        return None
    try:
        discriminator = DISCRIMINATORS[checkpoint.architecture](checkpoint.state, checkpoint.config)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    discriminator.load_state_dict(checkpoint.state)
    if bad := next((name for name, value in checkpoint.state.items() if not value.isfinite().all()), None):
        raise CheckpointError(f"{path}: {bad}: wanted finite numbers, got others; the file is of a failed training")
    if label is not None and not 0 <= label < discriminator.label_dim:
        raise UnsupportedError(
            f"{path}: label {label}: its discriminator has {discriminator.label_dim or 'no'} classes"
        )
    discriminator.label = label
    return discriminator
