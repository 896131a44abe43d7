"""Tuned generators: what one inversion adds to the generator's weights, stored and applied.

Pivotal tuning (Roich et al. 2021, arXiv 2106.05744) and near-perfect inversion (Feng et al. 2022, arXiv 2202.11833) end
in a generator of their own for an image, or for some images together. Only the difference is kept.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.base.files import atomic_path
from ganvert.checkpoints.ganvert_file import pack
from ganvert.checkpoints.weights import read_weights
from ganvert.generators import Generator

__all__ = ["TunedGenerators", "Weights", "apply", "compact", "copy_of", "first_of_each", "load", "save"]

_KIND = "ganvert/tuned"
#: Name of a generator's parameter to what is added to it.
Weights = Mapping[str, Tensor]


def apply(generator: Generator, weights: Weights) -> Generator:
    """A frozen copy of the generator with `weights` added to its parameters; it remembers where it came from.

    Raises:
        CheckpointError: a name or shape is not of this generator, or it is tuned already.
    """
    if generator.untuned is not None:
        raise CheckpointError("tuned weights: wanted the generator as it was, got a tuned one; give its `untuned`")
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
    """A frozen copy that remembers the generator as its ``untuned`` one."""
    copied = copy.deepcopy(generator).eval().requires_grad_(False)
    # Past nn.Module, which would take the original for a part of the copy.
    vars(copied)["untuned"] = generator
    return copied


def compact(weights: Weights) -> dict[str, Tensor]:
    """Weights as they are stored: float16 (float32 where that overflows), without tensors that are zero.

    Compacting again changes nothing.

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
    """Write weights into `folder` under a name made of their content: equal weights are one file.

    Returns:
        The file: safetensors with the metadata ``kind`` and ``generator``.
    """
    stored = compact(weights)
    path = folder / f"{_digest(stored)}.safetensors"
    with atomic_path(path) as temporary:
        temporary.write_bytes(pack(stored, {"kind": _KIND, "generator": generator_fingerprint}))
    return path


def load(path: Path, generator_fingerprint: str) -> dict[str, Tensor]:
    """Read weights back, as they are stored.

    Raises:
        CheckpointError: missing, damaged, renamed, or of another generator.
    """
    stored, facts = read_weights(path)
    if facts.get("kind") != _KIND:
        raise CheckpointError(f"{path}: wanted a file of kind {_KIND}, got {facts.get('kind')!r}; invert again")
    if facts.get("generator") != generator_fingerprint:
        raise CheckpointError(
            f"{path}: tuned weights of generator {str(facts.get('generator'))[:12]}, not of "
            f"{generator_fingerprint[:12]}; invert again with this generator"
        )
    if _digest(stored) != path.stem:
        raise CheckpointError(f"{path}: its content is not what its name says, so it is damaged; invert again")
    return stored


def _digest(stored: Weights) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(stored.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:32]


def first_of_each(weights: Sequence[Weights]) -> list[int]:
    """Per image the first image whose weights are the very same object: images may share a generator."""
    seen: dict[int, int] = {}
    return [seen.setdefault(id(one), i) for i, one in enumerate(weights)]


class TunedGenerators:
    """The generator of every image, made when it is asked for. Only the last one is kept: each is a whole network."""

    def __init__(
        self, generator: Generator, keys: Sequence[Hashable | None], weights: Callable[[Any], Weights]
    ) -> None:
        """`keys`: per image what `weights` is asked for; None for an image of the generator as it is."""
        self.generator, self.keys, self._weights = generator, keys, weights
        self._last: tuple[Hashable, Generator] | None = None

    def of(self, index: int) -> Generator:
        """The generator of one image."""
        key = self.keys[index]
        if key is None:
            return self.generator
        if self._last is None or self._last[0] != key:
            self._last = None  # makes room before the next is made
            self._last = key, apply(self.generator, self._weights(key))
        return self._last[1]
