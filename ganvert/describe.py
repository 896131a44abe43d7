"""Facts about a file: a generator, other weights, or a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ganvert.errors import InputError, TableError
from ganvert.generators import GENERATORS, load_generator, read_weights

__all__ = ["describe"]


def describe(path: Path) -> dict[str, Any]:
    """Name to value, for a person.

    Raises:
        InputError, CheckpointError, TableError: missing or unreadable.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    with path.open("rb") as handle:
        magic = handle.read(4)
    return _table(path) if magic == b"PAR1" else _weights(path)


def _weights(path: Path) -> dict[str, Any]:
    state, metadata = read_weights(path)
    count = sum(value.numel() for value in state.values())
    if metadata.get("architecture") not in GENERATORS:
        return {"kind": "weights", **metadata, "tensors": len(state), "numbers": f"{count:,}"}
    generator = load_generator(path)
    styles = generator.style_layout
    return {
        "kind": "generator",
        **metadata,
        "resolution": f"{generator.resolution} px, {generator.image_channels} channels",
        "z, w": f"{generator.z_dim}, {generator.w_dim}",
        "ws rows": generator.num_ws,
        "styles": f"{len(styles)} vectors, {sum(slot.width for slot in styles)} numbers",
        "feature points": ", ".join(f"{p.name} {'x'.join(map(str, p.shape))}" for p in generator.feature_points),
        "noise maps": ", ".join(f"{h}" for h, _ in generator.noise_shapes),
        "numbers": f"{count:,}",
        "fingerprint": generator.fingerprint(),
    }


def _table(path: Path) -> dict[str, Any]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{path}: not a readable Parquet file: {error}") from error
    metadata = {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items() if k != b"ARROW:schema"}
    columns = ", ".join(f"{field.name} ({field.type})" for field in file.schema_arrow)
    return {"kind": "table", **metadata, "rows": file.metadata.num_rows, "columns": columns}
