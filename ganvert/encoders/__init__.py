"""Encoders: backbone, neck and heads that predict codes of pictures, and how a weights file becomes one.

The package may import `losses`, `spaces` and what lies below.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from ganvert.base import params
from ganvert.base.errors import CheckpointError, GanvertError
from ganvert.checkpoints.tensors import finite
from ganvert.checkpoints.weights import read_metadata, read_weights
from ganvert.encoders.backbones import BACKBONES
from ganvert.encoders.base import Encoder, EncoderSpec
from ganvert.encoders.heads import HEADS, Prediction
from ganvert.encoders.joint import JointEncoder
from ganvert.generators.base import Generator, check_owner
from ganvert.networks.blank import Blank

__all__ = [
    "BACKBONES",
    "HEADS",
    "Encoder",
    "EncoderSpec",
    "JointEncoder",
    "Prediction",
    "check_encoder",
    "load_encoder",
]


def load_encoder(path: Path, generator: Generator, folder: Path | None = None) -> Encoder:
    """Read an encoder's weights, frozen and in eval mode, on the generator's device; refuse another generator's.

    Raises:
        CheckpointError: missing, damaged, not an encoder, or made for another generator.
    """
    state, metadata = read_weights(Path(path))
    spec = _spec_of(path, metadata, generator)
    try:
        _check_sizes(spec, state)
        with Blank():
            encoder = Encoder(spec, generator, folder)
        # Assigned, not copied: a large file should be in memory once. Files may have half the precision.
        state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
        _check_types(encoder, state)
        missing, unexpected = encoder.load_state_dict(state, strict=False, assign=True)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, GanvertError) as error:
        raise CheckpointError(f"{path}: not an encoder that can be built: {error}") from error
    if bad := next((name for name, value in state.items() if not finite(value)), None):
        raise CheckpointError(f"{path}: {bad}: wanted finite numbers, got others; train it again")
    if unexpected or set(missing) - {"w_avg"}:
        raise CheckpointError(f"{path}: tensors do not fit its encoder: missing {missing}, unexpected {unexpected}")
    return encoder.to(generator.w_avg.device).eval().requires_grad_(False)


def check_encoder(path: Path, generator: Generator) -> EncoderSpec:
    """Return the architecture of a file by what its header says; its weights are not read.

    Raises:
        CheckpointError: it is no encoder of the generator.
    """
    return _spec_of(path, read_metadata(Path(path)), generator)


def _spec_of(path: Path, metadata: Mapping[str, str], generator: Generator) -> EncoderSpec:
    """Return the architecture that a file's metadata describe; CheckpointError unless it is the generator's encoder."""
    if metadata.get("kind") != "encoder":
        raise CheckpointError(f"{path}: a safetensors file, but not an encoder of ganvert")
    remedy = (
        "train one for it (stage train_encoder, with the generator's own file in train_encoder.encoders), or choose a "
        "method that starts without an encoder"
    )
    check_owner(generator, metadata.get("generator"), f"{path}: an encoder", remedy, CheckpointError)
    try:
        return params.build(EncoderSpec, json.loads(metadata.get("encoder", "")), f"{path}: encoder")
    except (ValueError, RecursionError, GanvertError) as error:
        raise CheckpointError(f"{path}: not an encoder that can be built: {error}") from error


def _check_types(encoder: Encoder, state: Mapping[str, Tensor]) -> None:
    """Refuse integers in place of floats, and floats in place of integers: assigned tensors keep their type."""
    for name, value in encoder.state_dict().items():
        if name in state and state[name].is_floating_point() != value.is_floating_point():
            raise CheckpointError(f"{name}: wanted {value.dtype}, got {state[name].dtype}")


def _check_sizes(spec: EncoderSpec, state: Mapping[str, Tensor]) -> None:
    """Refuse a width that no tensor of the file has, before memory is taken for it."""
    largest = max((size for value in state.values() for size in value.shape), default=0)
    for head, options in spec.heads.items():
        for name in ("width", "code", "narrow", "units"):
            if isinstance(size := options.get(name, 0), int) and size > largest:
                raise CheckpointError(f"head {head}: {name} is {size}, but no tensor of the file is that large")
        for size in _numbers(options.get("widths")):
            if size > largest:
                raise CheckpointError(f"head {head}: a width is {size}, but no tensor of the file is that large")


def _numbers(value: object) -> Iterator[int]:
    """Yield the whole numbers of a list of lists; nothing for anything else."""
    for part in value if isinstance(value, list) else []:
        yield from [part] if isinstance(part, int) else _numbers(part)
