"""Every table that ganvert writes: schema, key and version, checked on write and again on read.

All are Parquet in row groups of a few MB; anything that reads Parquet opens them. Image bytes are PNG (lossless).
The package may import `base`.
"""

from __future__ import annotations

import dataclasses
import json
from array import array as numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ganvert.base.errors import TableError
from ganvert.base.files import atomic_path

__all__ = [
    "TABLES",
    "Lookup",
    "Table",
    "Writer",
    "arrow_vectors",
    "batches",
    "codes_table",
    "count",
    "read",
    "rows",
    "samples_table",
    "schema_of",
    "write",
]

Row = Mapping[str, Any]
#: Of a row group; enough for fast reading, and a few of them fit anywhere.
_GROUP_BYTES, _GROUP_ROWS = 16 << 20, 4096
_PICTURE_BYTES = 1 << 20  # what a binary column counts for
_PAGE_BYTES = 1 << 30  # a row group's column is one page, so that vectors lie in the file one after another


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


def codes_table(variables: Mapping[str, Sequence[int]], dtype: str = "float32") -> Table:
    """Inversion codes of one method: every variable of its space as a fixed-size column of `dtype` (a float)."""
    kind = pa.from_numpy_dtype(np.dtype(dtype))
    columns = tuple(vector(name, int(np.prod(shape)), kind, null=True) for name, shape in variables.items())
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


def write(path: Path, table: Table, rows: Iterable[Row], metadata: Mapping[str, str] | None = None) -> None:
    """Write rows whole or not at all, sorted by nothing: the caller's order is kept.

    Args:
        path: the Parquet file.
        table: its schema.
        rows: mappings of column name to value; vectors may be numpy arrays or lists.
        metadata: strings that say what made it; nothing that differs between equal runs.

    Raises:
        TableError: a value does not fit, or the key is not unique.
    """
    with Writer(path, table, metadata) as out:
        out.add(rows)


class Writer:
    """A table that is written as its rows come: ``with Writer(path, table) as out: out.add(rows)``.

    The file appears when the block ends without an error, whole. Its bytes follow from schema, metadata and rows: in
    which portions these came, and whether as mappings or as Arrow tables, does not show. Less than a row group is
    held in memory, and 8 bytes a row for the check of the key.
    """

    def __init__(self, path: Path, table: Table, metadata: Mapping[str, str] | None = None) -> None:
        """See :func:`write` for the arguments."""
        self.path, self.table = Path(path), table
        self.schema = table.schema(metadata)
        self._group = group_rows(self.schema)
        self._waiting: list[pa.Table] = []
        self._keys = numbers("q")  # a hash per row

    def __enter__(self) -> Writer:
        with ExitStack() as stack:
            self._temporary = stack.enter_context(atomic_path(self.path))
            self._file = stack.enter_context(pq.ParquetWriter(self._temporary, self.schema, **_settings(self.schema)))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            stack.push(self._stack)
            if error is None:
                self._flush(1)
                self._file.close()
                self._check_keys()
            else:
                stack.pop_all().__exit__(kind, error, trace)

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows as mappings of column name to value.

        Raises:
            TableError: a value does not fit.
        """
        rows = iter(rows)
        while some := list(islice(rows, self._group)):
            self.add_table(self._arrow(some))

    def add_table(self, data: pa.Table) -> None:
        """Add rows of an Arrow table with these columns; its metadata do not matter.

        Raises:
            TableError: the columns are not those of the table, or a value is missing.
        """
        if data.schema.names != self.schema.names or data.schema.types != self.schema.types:
            raise TableError(
                f"{self.path}: table {self.table.name!r} wants {_text(self.schema)}, got {_text(data.schema)}"
            )
        for field in self.schema:
            if not field.nullable and data.column(field.name).null_count:
                raise TableError(f"{self.path}: column {field.name!r} of {self.table.name!r} may not be null")
        self._keys.extend(self._hashes(data))
        self._waiting.append(pa.Table.from_arrays(data.columns, schema=self.schema))
        self._flush(self._group)

    def _arrow(self, rows: list[Row]) -> pa.Table:
        names = self.schema.names
        for row in rows:
            if set(row) != set(names):
                raise TableError(f"{self.path}: table {self.table.name!r} wants columns {names}, got {list(row)}")
        try:
            columns = [_column([row[field.name] for row in rows], field.type) for field in self.schema]
        except (ValueError, TypeError, OverflowError) as error:  # Arrow's own errors are among them
            raise TableError(f"{self.path}: a row does not fit table {self.table.name!r}: {error}") from error
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _flush(self, least: int) -> None:
        """Write full row groups while `least` rows or more wait."""
        if sum(map(len, self._waiting)) < least:
            return
        data = pa.concat_tables(self._waiting)
        full = len(data) if least == 1 else len(data) - len(data) % self._group
        for first in range(0, full, self._group):
            part = data.slice(first, min(self._group, full - first)).combine_chunks()
            self._file.write_table(part, row_group_size=self._group)
        self._waiting = [data.slice(full)] if full < len(data) else []

    def _hashes(self, data: pa.Table) -> Iterator[int]:
        # Of the text: Python's hashes of -1 and -2 are the same.
        return (
            hash(repr(key)) for key in zip(*(data.column(name).to_pylist() for name in self.table.key), strict=True)
        )

    def _check_keys(self) -> None:
        hashes = np.sort(np.frombuffer(self._keys, np.int64))
        doubled = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        if not doubled:
            return
        names = list(self.table.key)
        keys = pq.read_table(self._temporary, columns=names)
        first = next(i for i, found in enumerate(self._hashes(keys)) if found in doubled)
        double = tuple(keys.slice(first, 1).to_pylist()[0].values())
        raise TableError(f"{self.path}: key {','.join(names)} is not unique in {self.table.name!r}: {double}")


def group_rows(schema: pa.Schema) -> int:
    """Rows of a row group: about 16 MB of vectors and pictures, by the schema alone."""
    size = 0
    for field in schema:
        if pa.types.is_fixed_size_list(field.type):
            size += field.type.list_size * field.type.value_type.byte_width
        elif pa.types.is_binary(field.type):
            size += _PICTURE_BYTES
    return min(max(_GROUP_BYTES // max(size, 1), 1), _GROUP_ROWS)


def _settings(schema: pa.Schema) -> dict[str, Any]:
    """How columns are stored.

    The bytes of floats and of PNG files hardly shrink: by 16 % for vectors, if their bytes are split into streams and
    these are compressed by zstd. So they are stored as they are, which :func:`_plain_vectors` reads many times faster,
    and everything else is compressed. Measured with benchmarks/reading.py.
    """
    raw: list[str] = []
    small: list[str] = []
    for field in schema:
        if pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
            raw.append(f"{field.name}.list.{field.type.value_field.name}")
        else:
            (raw if pa.types.is_binary(field.type) else small).append(field.name)
    codecs = dict.fromkeys(raw, "none") | dict.fromkeys(small, "zstd")
    return {
        "compression": codecs,
        "use_dictionary": small,
        "write_statistics": small,
        "data_page_size": _PAGE_BYTES,
    }


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    """One column of rows. Numpy arrays of a vector column become Arrow's without Python numbers between."""
    if not pa.types.is_fixed_size_list(kind) and not pa.types.is_list(kind):
        return pa.array(values, kind)
    if not all(value is None or isinstance(value, np.ndarray) for value in values):
        values = [value.reshape(-1).tolist() if isinstance(value, np.ndarray) else value for value in values]
        return pa.array(values, kind)
    dtype = kind.value_type.to_pandas_dtype()
    if pa.types.is_list(kind):
        sizes = [0 if value is None else value.size for value in values]
        flat = np.concatenate([np.empty(0, dtype), *(value.reshape(-1) for value in values if value is not None)])
        mask = pa.array([value is None for value in values])
        offsets = pa.array(np.cumsum([0, *sizes]), pa.int32())
        return pa.ListArray.from_arrays(offsets, pa.array(flat.astype(dtype, copy=False)), kind, mask=mask)
    stacked = np.zeros((len(values), kind.list_size), dtype)
    for line, value in zip(stacked, values, strict=True):
        if value is not None:
            if value.size != kind.list_size:
                raise ValueError(f"a vector of {value.size} numbers, wanted {kind.list_size}")
            line[:] = value.reshape(-1)
    return arrow_vectors(stacked, kind, [value is None for value in values])


def arrow_vectors(values: np.ndarray, kind: pa.DataType, missing: Sequence[bool] = ()) -> pa.Array:
    """Rows of an array [N, size] as a column of fixed-size vectors, without a Python loop.

    Args:
        values: floats of the type's own width are not copied.
        kind: the column's type.
        missing: rows that are null, whatever they hold.
    """
    flat = np.ascontiguousarray(values, kind.value_type.to_pandas_dtype()).reshape(-1)
    mask = pa.array(missing, pa.bool_()) if any(missing) else None
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type), type=kind, mask=mask)


def _text(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)


def read(path: Path, table: Table | str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table back and check that it is the one this code writes.

    Args:
        path: the Parquet file.
        table: its schema; or a name for tables whose columns depend on the run (``"codes"``, ``"samples"``),
            where only name and version are checked.
        columns: those that are wanted; all by default.

    Raises:
        TableError: missing, damaged, or another schema.
    """
    with _open(path, table, columns) as (file, source):
        try:
            groups = [_group(file, source, i, columns) for i in range(file.num_row_groups)]
            return pa.concat_tables(groups) if groups else file.read(columns=columns and list(columns))
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(path, error) from error


def schema_of(path: Path, table: Table | str) -> pa.Schema:
    """The schema of a table with its metadata (:func:`metadata_of`); raises as :func:`read` does."""
    with _open(path, table) as (file, _):
        return file.schema_arrow


def count(path: Path, table: Table | str) -> int:
    """Rows of a table, without reading them; raises as :func:`read` does."""
    with _open(path, table) as (file, _):
        return int(file.metadata.num_rows)


def batches(
    path: Path, table: Table | str, columns: Sequence[str] | None = None, batch: int = 64
) -> Iterator[pa.RecordBatch]:
    """A table in pieces, in order, a row group in memory.

    Args:
        path: the Parquet file.
        table: see :func:`read`.
        columns: see :func:`read`.
        batch: rows of a piece at most; a piece does not cross row groups.

    Raises:
        TableError: see :func:`read`.
    """
    with _open(path, table, columns) as (file, source):
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        try:
            if max(sizes, default=0) > group_rows(file.schema_arrow):  # not from Writer: maybe all rows in one group
                yield from file.iter_batches(batch, columns=columns and list(columns))
                return
            for number in range(file.num_row_groups):
                yield from _group(file, source, number, columns).to_batches(batch)
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(path, error) from error


def rows(path: Path, table: Table | str, columns: Sequence[str], batch: int = 64) -> Iterator[dict[str, Any]]:
    """Some columns of a table row by row, a row group of them in memory.

    Raises:
        TableError: see :func:`read`.
    """
    for part in batches(path, table, columns, batch):
        yield from part.to_pylist()


class Lookup:
    """Rows of a table by their key: the keys are in memory, of the rest only the row group that was used last.

    Fast where keys are asked for about in the table's order; use it as a context manager.
    """

    def __init__(self, path: Path, table: Table | str, key: str, columns: Sequence[str]) -> None:
        """`key`: a column without doubles; `columns`: what is wanted of a row. Raises as :func:`read` does."""
        self.path, self.columns = path, [*columns]
        self._stack = ExitStack()
        self._file, _ = self._stack.enter_context(_open(path, table, self.columns))
        self._place: dict[str, tuple[int, int]] = {}
        for group in range(self._file.num_row_groups):
            ids = self._file.read_row_group(group, columns=[key]).column(key).to_pylist()
            self._place |= {name: (group, i) for i, name in enumerate(ids)}
        self._last: tuple[int, pa.Table] | None = None

    def __enter__(self) -> Lookup:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """The row; TableError when there is none."""
        if key not in self._place:
            raise TableError(f"{self.path}: there is no row {key!r}; the tables are of different runs: run `dvc repro`")
        group, row = self._place[key]
        if self._last is None or self._last[0] != group:
            try:
                self._last = group, self._file.read_row_group(group, columns=self.columns)
            except (pa.ArrowInvalid, OSError) as error:
                raise _damaged(self.path, error) from error
        return dict(self._last[1].slice(row, 1).to_pylist()[0])


def _group(file: pq.ParquetFile, source: pa.NativeFile, number: int, columns: Sequence[str] | None) -> pa.Table:
    """Some columns of a row group."""
    schema, group = file.schema_arrow, file.metadata.row_group(number)
    found: dict[str, Any] = {}
    for name in schema.names if columns is None else columns:
        i = schema.get_field_index(name)  # every field is one column of the file, a list's numbers too
        found[name] = _plain_vectors(source, group.column(i), schema.field(i).type, group.num_rows)
    others = file.read_row_group(number, columns=[name for name, array in found.items() if array is None])
    arrays = [others.column(name) if array is None else array for name, array in found.items()]
    return pa.Table.from_arrays(arrays, schema=pa.schema([schema.field(name) for name in found], schema.metadata))


def _plain_vectors(
    source: pa.NativeFile, column: pq.ColumnChunkMetaData, kind: pa.DataType, rows: int
) -> pa.Array | None:
    """A column of vectors of a row group, straight from the file; None where it is stored in another way.

    Parquet knows lists, but no vectors: of every number it says whether a list begins there. To read that takes
    Arrow several times as long as to read the numbers. Where a column is a single page of plain numbers, and there are
    as many as the vectors have, they are the page's last bytes (parquet-format, README, "Data Pages").
    """
    if not pa.types.is_fixed_size_list(kind) or kind.list_size < 2 or kind.value_field.nullable:
        return None
    numbers, width = rows * kind.list_size, kind.value_type.byte_width
    if column.num_values != numbers:  # a row that is null counts as one
        return None
    if column.compression != "UNCOMPRESSED" or column.has_dictionary_page or set(column.encodings) - {"PLAIN", "RLE"}:
        return None
    source.seek(column.data_page_offset)
    if _first_page(source.read(64)) != (0, numbers):
        return None
    source.seek(column.data_page_offset + column.total_compressed_size - numbers * width)
    buffer = source.read_buffer(numbers * width)
    if buffer.size != numbers * width:
        raise OSError("the file ends too early")
    return pa.FixedSizeListArray.from_arrays(pa.Array.from_buffers(kind.value_type, numbers, [None, buffer]), type=kind)


def _first_page(head: bytes) -> tuple[int, int] | None:
    """Type (0 is a data page of version 1) and number of values of a page; None where its header has more to say.

    The header is Thrift's compact protocol: before a number a byte for its field, 7 bits a byte, the sign last.
    """
    numbers: list[int] = []
    for field in (b"\x15", b"\x15", b"\x15", b"\x2c\x15"):  # type, two sizes; of the data page the number of values
        if not head.startswith(field):
            return None
        head, number = head[len(field) :], 0
        for place, byte in enumerate(head[:5]):
            number |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                head = head[place + 1 :]
                break
        numbers.append(number >> 1)
    return numbers[0], numbers[3]


@contextmanager
def _open(
    path: Path, table: Table | str, columns: Sequence[str] | None = None
) -> Iterator[tuple[pq.ParquetFile, pa.NativeFile]]:
    """A table that has been checked, and the open file: a name may come to mean another one."""
    name = table if isinstance(table, str) else table.name
    if not Path(path).exists():
        raise TableError(f"{path}: there is no such table; run `dvc repro` (or the command that writes {name!r}) first")
    with ExitStack() as stack:
        try:
            source = stack.enter_context(pa.OSFile(str(path)))
            file = stack.enter_context(pq.ParquetFile(source))
        except (pa.ArrowInvalid, OSError) as error:
            raise TableError(f"{path}: not a readable Parquet file: {error}") from error
        _check(path, table, file.schema_arrow)
        if missing := set(columns or ()) - set(file.schema_arrow.names):
            raise TableError(f"{path}: wanted the column {min(missing)!r}, there are {_text(file.schema_arrow)}")
        yield file, source


def _damaged(path: Path, error: Exception) -> TableError:
    what = " ".join(str(error).split())
    return TableError(f"{path}: damaged: {what}; make it again: run `dvc repro` (or the command that writes it)")


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


def metadata_of(data: pa.Table | pa.Schema) -> dict[str, Any]:
    """The metadata a table was written with; JSON values are parsed where they are JSON objects."""
    schema = data if isinstance(data, pa.Schema) else data.schema
    raw = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    return {key: json.loads(value) if value.startswith("{") else value for key, value in raw.items()}


def array(data: pa.Table | pa.RecordBatch, column: str) -> np.ndarray:
    """A vector column as one float array [rows, size] without a Python loop; TableError where a row has none."""
    vectors = data.column(column)
    if vectors.null_count:
        raise TableError(f"column {column!r}: wanted a vector in every row, {vectors.null_count} rows have none")
    kind = data.schema.field(column).type
    whole = vectors.combine_chunks() if isinstance(vectors, pa.ChunkedArray) else vectors
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else (len(flat) // max(len(whole), 1))
    return flat.reshape(-1, size) if len(flat) else flat.reshape(0, size)
