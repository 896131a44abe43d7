"""Every table that ganvert writes: schema, key and version, checked on write and again on read.

All are zstd Parquet; anything that reads Parquet opens them. Image bytes are PNG (lossless).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ganvert.errors import TableError
from ganvert.files import atomic_path

__all__ = ["TABLES", "Table", "codes_table", "read", "rows", "samples_table", "write"]


@dataclasses.dataclass(frozen=True)
class Table:
    """One table: its columns in order and the columns that identify a row."""

    name: str
    version: int
    key: tuple[str, ...]
    columns: tuple[pa.Field, ...]

    def schema(self, metadata: Mapping[str, str] | None = None) -> pa.Schema:
        """The Arrow schema, with name, version, key and `metadata` in the file's own metadata."""
        facts = {"table": self.name, "version": str(self.version), "key": ",".join(self.key)}
        return pa.schema(self.columns, metadata=facts | dict(metadata or {}))


def _field(name: str, kind: pa.DataType, *, null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=null)


def vector(name: str, size: int, kind: pa.DataType | None = None, *, null: bool = False) -> pa.Field:
    """A column of fixed-size float vectors."""
    return pa.field(name, pa.list_(pa.field("element", kind or pa.float32(), nullable=False), size), nullable=null)


_S, _I, _F, _B = pa.string(), pa.int32(), pa.float64(), pa.binary()
_VECTOR = pa.list_(pa.field("element", pa.float32(), nullable=False))

PHOTOS = Table(
    "photos",
    1,
    ("photo_id",),
    (
        _field("photo_id", _S),  # sha256 of the file's bytes
        _field("path", _S),  # relative to the folder the run was started in
        _field("width", _I, null=True),  # after EXIF orientation
        _field("height", _I, null=True),
        _field("exif_orientation", _I, null=True),
        _field("mode", _S, null=True),  # Pillow's mode of the file
        _field("faces", _I, null=True),  # found, before any choice
        _field("status", _S),  # ok | no_face | unreadable | too_large
        _field("reason", _S),  # empty when ok
    ),
)
ALIGNED = Table(
    "aligned",
    1,
    ("image_id",),
    (
        _field("image_id", _S),  # first 16 hex digits of photo_id, '-', face index
        _field("photo_id", _S),
        _field("path", _S),
        _field("face", _I),
        _field("recipe", _S),
        _field("resolution", _I),
        vector("quad", 8, pa.float64()),  # x, y of TL, BL, BR, TR in upright photo pixels
        vector("landmarks", 136, pa.float64(), null=True),  # 68 x (x, y) in upright photo pixels
        _field("crop", _B),  # PNG
    ),
)
RECONSTRUCTIONS = Table(
    "reconstructions",
    1,
    ("image_id", "method"),
    (
        _field("image_id", _S),
        _field("method", _S),
        _field("png", _B),  # generator resolution
    ),
)
DIRECTIONS = Table(
    "directions",
    1,
    ("name", "space", "method"),
    (
        _field("name", _S),
        _field("space", _S),  # z | w
        _field("method", _S),
        pa.field("vector", _VECTOR, nullable=False),  # unit length
        _field("unit", _F),  # length of one step (amount 1) along the vector, in the space's own units
        _field("first_row", _I),  # rows of ws it moves, half open
        _field("last_row", _I),
        _field("quality", _S),  # JSON: figures of the fit
    ),
)
EDITS = Table(
    "edits",
    1,
    ("image_id", "method", "direction", "amount"),
    (
        _field("image_id", _S),
        _field("method", _S),  # the inversion it starts from
        _field("direction", _S),
        _field("amount", _F),
        _field("crop", _B),  # PNG, generator resolution
        _field("pasted", _B, null=True),  # PNG, the photograph with the edited face in it
    ),
)
SCORES = Table(
    "scores",
    1,
    ("image_id", "method", "metric"),
    (
        _field("image_id", _S),
        _field("method", _S),
        _field("metric", _S),  # carries its convention: lpips_vgg_256, mse_256, ...
        _field("value", _F, null=True),
        _field("status", _S),  # ok, not_detected, failed; `ganvert invert` adds no_face, unreadable, too_large
    ),
)
EDIT_SCORES = Table(
    "edit_scores",
    1,
    ("image_id", "method", "direction", "amount", "metric"),
    (
        _field("image_id", _S),
        _field("method", _S),
        _field("direction", _S),
        _field("amount", _F),
        _field("metric", _S),
        _field("value", _F, null=True),
        _field("status", _S),
    ),
)
#: Of tables whose columns depend on the run; for the others the whole schema is compared.
_VERSIONS = {"codes": 2, "samples": 1}
TABLES = {table.name: table for table in (PHOTOS, ALIGNED, RECONSTRUCTIONS, DIRECTIONS, EDITS, SCORES, EDIT_SCORES)}


def samples_table(z_dim: int, w_dim: int, attributes: Sequence[str]) -> Table:
    """Generator samples: seed, z, w and one nullable score column per attribute (null: no face was found)."""
    scores = tuple(_field(name, pa.float32(), null=True) for name in attributes)
    columns = (_field("seed", pa.int64()), vector("z", z_dim), vector("w", w_dim), *scores)
    return Table("samples", _VERSIONS["samples"], ("seed",), columns)


def codes_table(variables: Mapping[str, Sequence[int]]) -> Table:
    """Inversion codes of one method: every variable of its space as a fixed-size float32 column."""
    columns = tuple(vector(name, int(np.prod(shape)), null=True) for name, shape in variables.items())
    return Table(
        "codes",
        _VERSIONS["codes"],
        ("image_id", "method"),
        (
            _field("image_id", _S),
            _field("method", _S),
            _field("space", _S),
            _field("status", _S),  # ok | diverged
            _field("reason", _S),
            _field("steps", _I),
            _field("best_step", _I),
            _field("seed", pa.int64()),
            _field("generator", _S),  # fingerprint
            _field("encoder", _S),  # fingerprint, empty without one
            _field("config", _S),  # fingerprint of the method's options
            _field("tuned", _S, null=True),  # file of the tuned generator's weights
            pa.field("trace", _VECTOR, nullable=False),  # objective per step
            *columns,
        ),
    )


def write(
    path: Path, table: Table, rows: Iterable[Mapping[str, Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write rows whole or not at all, sorted by nothing: the caller's order is kept.

    Args:
        path: the Parquet file.
        table: its schema.
        rows: mappings of column name to value; vectors may be numpy arrays or lists.
        metadata: strings that say what made it; nothing that differs between equal runs.

    Raises:
        TableError: a value does not fit, or the key is not unique.
    """
    rows = [{name: _plain(value) for name, value in row.items()} for row in rows]
    names = [field.name for field in table.columns]
    for row in rows:
        if set(row) != set(names):
            raise TableError(f"{path}: table {table.name!r} wants columns {names}, got {list(row)}")
    schema = table.schema(metadata)
    try:
        data = pa.Table.from_pylist(rows, schema=schema)
        for field in schema:
            if not field.nullable and data.column(field.name).null_count:
                raise TableError(f"{path}: column {field.name!r} of {table.name!r} may not be null")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TableError(f"{path}: a row does not fit table {table.name!r}: {error}") from error
    keys = [tuple(row[name] for name in table.key) for row in rows]
    if len(set(keys)) != len(keys):
        double = next(key for key in keys if keys.count(key) > 1)
        raise TableError(f"{path}: key {','.join(table.key)} is not unique in {table.name!r}: {double}")
    with atomic_path(path) as temporary:
        pq.write_table(data, temporary, compression="zstd")


def _plain(value: Any) -> Any:
    return value.reshape(-1).tolist() if isinstance(value, np.ndarray) else value


def read(path: Path, table: Table | str) -> pa.Table:
    """Read a table back and check that it is the one this code writes.

    Args:
        path: the Parquet file.
        table: its schema; or a name for tables whose columns depend on the run (``"codes"``, ``"samples"``),
            where only name and version are checked.

    Raises:
        TableError: missing, damaged, or another schema.
    """
    with _open(path, table) as file:
        _check(path, table, file.schema_arrow)
        return file.read()


def rows(path: Path, table: Table, columns: Sequence[str], batch: int = 64) -> Iterator[dict[str, Any]]:
    """Some columns of a table row by row, `batch` of them in memory.

    Raises:
        TableError: see :func:`read`.
    """
    with _open(path, table) as file:
        _check(path, table, file.schema_arrow)
        for part in file.iter_batches(batch, columns=list(columns)):
            yield from part.to_pylist()


def _open(path: Path, table: Table | str) -> pq.ParquetFile:
    name = table if isinstance(table, str) else table.name
    if not Path(path).exists():
        raise TableError(f"{path}: there is no such table; run `dvc repro` (or the command that writes {name!r}) first")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{path}: not a readable Parquet file: {error}") from error


def _check(path: Path, table: Table | str, schema: pa.Schema) -> None:
    """Refuse a table that is not the one this code writes."""
    name = table if isinstance(table, str) else table.name
    metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    if metadata.get("table") != name:
        raise TableError(f"{path}: wanted table {name!r}, got {metadata.get('table')!r}")
    if name in _VERSIONS and metadata.get("version") != str(_VERSIONS[name]):
        raise TableError(
            f"{path}: wanted version {_VERSIONS[name]} of table {name!r}, got {metadata.get('version')}; "
            "run `dvc repro` (or the command that writes it) again"
        )
    if isinstance(table, Table) and not schema.equals(table.schema()):
        raise TableError(f"{path}: stored schema is not the one this code writes; run `dvc repro` again")


def metadata_of(data: pa.Table) -> dict[str, Any]:
    """The metadata a table was written with; JSON values are parsed where they are JSON objects."""
    raw = {key.decode(): value.decode() for key, value in (data.schema.metadata or {}).items()}
    return {key: json.loads(value) if value.startswith("{") else value for key, value in raw.items()}


def array(data: pa.Table, column: str) -> np.ndarray:
    """A vector column as one float array [rows, size] without a Python loop."""
    chunked = data.column(column).combine_chunks()
    kind = data.schema.field(column).type
    flat = chunked.flatten().to_numpy(zero_copy_only=False)
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else (len(flat) // max(len(chunked), 1))
    return flat.reshape(-1, size) if len(flat) else flat.reshape(0, size)
