"""Ganvert's own checkpoints: safetensors whose metadata name the architecture."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.base.files import atomic_path
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.tensors import Joined, take

__all__ = ["matches", "pack", "read", "save_generator", "write_tensors"]

_NAME = "ganvert"

#: The types of safetensors in the order in which a file has them: those of the strictest alignment first.
_TYPES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


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
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"its config is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"its config is {type(config).__name__}; wanted a JSON object")
    return config


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a safetensors file; equal content gives equal bytes."""
    return b"".join(_pieces(tensors, metadata))


def write_tensors(path: Path, tensors: Mapping[str, Tensor | Joined], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all, tensor by tensor, with the bytes of :func:`pack`."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.writelines(_pieces(tensors, metadata))


def _pieces(tensors: Mapping[str, Tensor | Joined], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """Yield the header of a safetensors file and its tensors, none of which is copied.

    The library has the whole file in memory, and writes metadata in the order of a hash table, which differs from run
    to run. Here the JSON header is sorted.
    """
    rank = {dtype: i for i, dtype in enumerate(_TYPES)}
    names = sorted(tensors, key=lambda name: (rank[tensors[name].dtype], name))
    table: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name in names:
        value = tensors[name]
        end = position + math.prod(value.shape) * value.dtype.itemsize
        table[name] = {"dtype": _TYPES[value.dtype], "shape": list(value.shape), "data_offsets": [position, end]}
        position = end
    header = json.dumps(table, sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # keeps the tensors aligned
    yield len(header).to_bytes(8, "little") + header
    for name in names:
        value = tensors[name]
        for part in value.parts if isinstance(value, Joined) else (value,):
            yield part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


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
    write_tensors(Path(path), checkpoint.state, {**metadata, **own})
