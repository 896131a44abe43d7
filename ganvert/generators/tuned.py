"""Tuned generators: the differences that an inversion adds to the generator's weights, stored and applied.

Pivotal tuning (Roich et al. 2021, arXiv 2106.05744) and near-perfect inversion (Feng et al. 2022, arXiv 2202.11833)
produce a separate generator for an image, or for several images jointly. Only the difference is stored.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.ganvert_file import write_tensors
from ganvert.checkpoints.weights import read_weights
from ganvert.generators import Generator

__all__ = ["TunedGenerators", "Weights", "apply", "compact", "copy_of", "first_of_each", "load", "save"]

_KIND = "ganvert/tuned"
#: Name of a generator's parameter to the tensor that is added to it.
Weights = Mapping[str, Tensor]


def apply(generator: Generator, weights: Weights) -> Generator:
    """Return a frozen copy of the generator with `weights` added to its parameters, and the original as ``untuned``.

    Raises:
        CheckpointError: a name or shape does not belong to this generator, or it is tuned already.
    """
    if generator.untuned is not None:
        raise CheckpointError("tuned weights: wanted the original generator, got a tuned one; give its `untuned`")
    tuned = copy_of(generator)
    parameters = dict(tuned.named_parameters())
    for name, delta in weights.items():
        if name not in parameters:
            raise CheckpointError(f"tuned weights: {generator.architecture} has no parameter {name!r}; invert again")
        if delta.shape != parameters[name].shape:
            raise CheckpointError(
                f"tuned weights: {name}: wanted shape {list(parameters[name].shape)}, got {list(delta.shape)}; "
                "invert again with this generator"
            )
        parameters[name].add_(delta.to(parameters[name]))
    return tuned


def copy_of(generator: Generator) -> Generator:
    """Return a frozen copy of the generator, with the original as ``untuned``."""
    copied = copy.deepcopy(generator).eval().requires_grad_(False)
    # Bypasses nn.Module.__setattr__, which would register the original as a submodule of the copy.
    vars(copied)["untuned"] = generator
    return copied


def compact(weights: Weights) -> dict[str, Tensor]:
    """Return the weights as they are stored: float16 (float32 where that overflows), without all-zero tensors.

    Compacting twice changes nothing more.

    Raises:
        CheckpointError: a number is not finite.
    """
    kept = {}
    for name, delta in sorted(weights.items()):
        if not delta.isfinite().all():
            raise CheckpointError(f"tuned weights: {name}: wanted finite numbers, got others; tune with a smaller lr")
        half = delta.half()
        stored = (half if half.isfinite().all() else delta.float()).detach().cpu().contiguous()
        if stored.any():
            kept[name] = stored
    return kept


def save(folder: Path, weights: Weights, generator_fingerprint: str) -> Path:
    """Write weights into `folder` under the hash of their content, so that equal weights share a file.

    Returns:
        Path of the file: safetensors with the metadata ``kind`` and ``generator``.
    """
    stored = compact(weights)
    path = folder / f"{_digest(stored)}.safetensors"
    write_tensors(path, stored, {"kind": _KIND, "generator": generator_fingerprint})
    return path


def load(path: Path, generator_fingerprint: str) -> dict[str, Tensor]:
    """Read weights back as they are stored.

    Raises:
        CheckpointError: missing, damaged, renamed, or of another generator.
    """
    stored, metadata = read_weights(path)
    if metadata.get("kind") != _KIND:
        raise CheckpointError(f"{path}: wanted a file of kind {_KIND}, got {metadata.get('kind')!r}; invert again")
    if metadata.get("generator") != generator_fingerprint:
        raise CheckpointError(
            f"{path}: tuned weights of generator {str(metadata.get('generator'))[:12]}, not of "
            f"{generator_fingerprint[:12]}; invert again with this generator"
        )
    for name, value in stored.items():
        if value.dtype not in (torch.float16, torch.float32):
            raise CheckpointError(f"{path}: {name}: wanted float16 or float32, got {value.dtype}; invert again")
        if not value.isfinite().all():
            raise CheckpointError(f"{path}: {name}: wanted finite numbers, got others; invert again")
    if _digest(stored) != path.stem:
        raise CheckpointError(f"{path}: its content does not match its name, so it is damaged; invert again")
    return stored


def _digest(stored: Weights) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(stored.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:32]


def first_of_each(weights: Sequence[Weights]) -> list[int]:
    """Return for each image the first image with the identical weights object: images may share a generator."""
    first: dict[int, int] = {}
    return [first.setdefault(id(value), i) for i, value in enumerate(weights)]


class TunedGenerators:
    """The generator of every image, built on demand. Only the latest is kept, since each is a whole network."""

    def __init__(
        self, generator: Generator, keys: Sequence[Hashable | None], weights: Callable[[Any], Weights]
    ) -> None:
        """Remember how to build the generators.

        Args:
            generator: the original.
            keys: per image the key of its weights, or None for an image that uses the original.
            weights: returns the weights of a key.
        """
        self.generator, self.keys, self._weights = generator, keys, weights
        self._last: tuple[Hashable, Generator] | None = None

    def of(self, index: int) -> Generator:
        """Return the generator of one image."""
        key = self.keys[index]
        if key is None:
            return self.generator
        if self._last is None or self._last[0] != key:
            self._last = None  # frees its memory before the next one is built
            self._last = key, apply(self.generator, self._weights(key))
        return self._last[1]
