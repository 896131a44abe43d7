"""Our own checkpoints: safetensors whose metadata name the architecture."""

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
    """Whether its metadata say that it is ours."""
    return content.container == "safetensors" and content.metadata.get("format") == _NAME


def read(content: Content) -> Checkpoint:
    """Its tensors as they are, in float32; its configuration out of the metadata."""
    if not (architecture := content.metadata.get("architecture")):
        raise CheckpointError("a ganvert file whose metadata name no architecture")
    state = take(content, content.root, architecture)
    return Checkpoint(format=_NAME, architecture=architecture, state=state, config=_config(content.metadata))


def _config(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        config = json.loads(metadata.get("config", "{}"))
    except ValueError as error:
        raise CheckpointError(f"its config is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"its config is {type(config).__name__}; wanted a JSON object")
    return config


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Bytes of a safetensors file, the same for the same content."""
    data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}, dict(metadata))
    # The library writes metadata in the order of a hash table that differs from run to run: sort the JSON header.
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def save_generator(path: Path, checkpoint: Checkpoint, facts: Mapping[str, str]) -> None:
    """Write a generator as a file of ours, whole or not at all.

    Args:
        path: of the file.
        checkpoint: what another format's reader gave.
        facts: further metadata: where it came from (``source_format``, ``source_sha256``, ...).

    Raises:
        CheckpointError: a fact has the name of something that this function writes.
    """
    own = {
        "format": _NAME,
        "architecture": checkpoint.architecture,
        "config": json.dumps(checkpoint.config, sort_keys=True, allow_nan=False),
    }
    if clash := sorted(own.keys() & facts.keys()):
        raise CheckpointError(f"{path}: {', '.join(clash)} cannot be told as a fact; the checkpoint tells it")
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(pack(checkpoint.state, {**facts, **own}))
