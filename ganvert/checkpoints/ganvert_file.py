"""Ganvert's own checkpoints: safetensors whose metadata name the architecture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.base.files import atomic_path
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.tensors import take

__all__ = ["matches", "pack", "read", "save_generator"]

_NAME = "ganvert"


def matches(content: Content) -> bool:
    """Return whether the metadata say that the file is ours."""
    return content.container == "safetensors" and content.metadata.get("format") == _NAME


def read(content: Content) -> Checkpoint:
    """Read the tensors as float32 and the configuration from the metadata."""
    if not (architecture := content.metadata.get("architecture")):
        raise CheckpointError("a ganvert file whose metadata name no architecture")
    state = take(content, content.root, architecture)
    return Checkpoint(format=_NAME, architecture=architecture, state=state, config=_config(content.metadata))


def _config(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        config = json.loads(metadata.get("config", "{}"))
    except ValueError as error:
        raise CheckpointError(f"its config is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"its config is {type(config).__name__}; wanted a JSON object")
    return config


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a safetensors file; equal content gives equal bytes."""
    data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}, dict(metadata))
    # The library writes metadata in the order of a hash table, which differs from run to run: sort the JSON header.
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # keeps the tensors aligned
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def save_generator(path: Path, checkpoint: Checkpoint, metadata: Mapping[str, str]) -> None:
    """Write a generator in ganvert's format, whole or not at all.

    Args:
        path: of the file.
        checkpoint: result of another format's reader.
        metadata: further metadata: where it came from (``source_format``, ``source_sha256``, ...).

    Raises:
        CheckpointError: a key of `metadata` is one that this function writes itself.
    """
    own = {
        "format": _NAME,
        "architecture": checkpoint.architecture,
        "config": json.dumps(checkpoint.config, sort_keys=True, allow_nan=False),
    }
    if clash := sorted(own.keys() & metadata.keys()):
        raise CheckpointError(f"{path}: metadata {', '.join(clash)} cannot be given; they come from the checkpoint")
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(pack(checkpoint.state, {**metadata, **own}))
