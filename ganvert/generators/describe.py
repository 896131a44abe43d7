"""Description of a file for users: a checkpoint of a generator, other weights, or a table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ganvert.base.errors import InputError, TableError
from ganvert.checkpoints import Checkpoint
from ganvert.checkpoints.read import read_checkpoint
from ganvert.checkpoints.weights import read_weights
from ganvert.generators import GENERATORS, Generator, build_generator
from ganvert.tables.reader import UNREADABLE
from ganvert.tables.schemas import columns_text

__all__ = ["describe", "describe_generator"]

_OWN = ("format", "architecture", "config")  # metadata that the description of the checkpoint shows already


def describe(path: Path) -> dict[str, Any]:
    """Describe a file: name of a property to its value, to be printed.

    Raises:
        InputError, CheckpointError, TableError: missing or unreadable.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    with path.open("rb") as handle:
        head = handle.read(9)
    if head[:4] == b"PAR1":
        return _table(path)
    # A safetensors file begins with the length of its JSON header.
    if head[8:] != b"{" or int.from_bytes(head[:8], "little") > path.stat().st_size:
        return _generator(path)
    state, metadata = read_weights(path)
    ours = metadata.get("format") == "ganvert"
    if "kind" in metadata or (ours and metadata.get("architecture") not in GENERATORS):  # encoders, loss networks
        count = sum(value.numel() for value in state.values())
        return {"kind": "weights", **metadata, "tensors": len(state), "numbers": f"{count:,}"}
    return _generator(path) | {name: value for name, value in metadata.items() if name not in _OWN}


def _generator(path: Path) -> dict[str, Any]:
    checkpoint = read_checkpoint(path)
    generator = build_generator(checkpoint.architecture, checkpoint.state, checkpoint.config, str(path))
    return describe_generator(generator, checkpoint)


def describe_generator(generator: Generator, checkpoint: Checkpoint) -> dict[str, Any]:
    """Describe a checkpoint and the generator built from it: name of a property to its value."""
    styles, points = generator.style_layout, generator.feature_points
    rows = f"{generator.num_ws} rows of {generator.w_dim}" + (
        ", each mapped by itself" if generator.rows_differ else ""
    )
    return {
        "kind": "generator",
        "format": checkpoint.format,
        "architecture": checkpoint.architecture,
        "resolution": f"{generator.resolution} px",
        "image channels": generator.image_channels,
        "z": generator.z_dim,
        "ws": rows,
        "classes": generator.label_dim or "none",
        "styles": f"{len(styles)} vectors, {sum(slot.width for slot in styles):,} numbers: "
        + _list(f"{slot.name} {slot.width} (row {slot.row}, {slot.resolution} px)" for slot in styles),
        "feature points": _list(f"{point.name} {'x'.join(map(str, point.shape))}" for point in points),
        "paddable": _list(f"{conv.name} {conv.channels} at {conv.resolution} px" for conv in generator.paddable),
        "noise maps": _list(f"{h}x{w}" for h, w in generator.noise_shapes),
        "numbers": f"{sum(value.numel() for value in generator.parameters()):,} parameters, "
        f"{sum(value.numel() for value in generator.buffers()):,} constants",
        "config": json.dumps(checkpoint.config, sort_keys=True),
        "fingerprint": generator.fingerprint(),
        "left out": "; ".join(checkpoint.ignored) or "nothing",
    }


def _list(items: Iterable[str]) -> str:
    return ", ".join(items) or "none"


def _table(path: Path) -> dict[str, Any]:
    try:
        with pq.ParquetFile(path) as file:
            metadata = {
                key.decode(errors="replace"): value.decode(errors="replace")
                for key, value in (file.schema_arrow.metadata or {}).items()
                if key != b"ARROW:schema"
            }
            columns = columns_text(file.schema_arrow)
            return {"kind": "table", **metadata, "rows": file.metadata.num_rows, "columns": columns}
    except UNREADABLE as error:
        raise TableError(f"{path}: not a readable Parquet file: {error}") from error
