"""The tables by name: columns with their types, key, version; and the check of a file against them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ganvert.base.errors import TableError

__all__ = [
    "ALIGNED",
    "DIRECTIONS",
    "EDITS",
    "EDIT_SCORES",
    "PHOTOS",
    "RECONSTRUCTIONS",
    "SCORES",
    "STUDY_COMPARISONS",
    "STUDY_ORDERS",
    "STUDY_PICTURES",
    "STUDY_SCORES",
    "STUDY_SUMMARY",
    "Table",
    "check_schema",
    "codes_table",
    "columns_text",
    "group_rows",
    "metadata_of",
    "samples_table",
    "vector",
]

#: A row group holds about this many bytes and at most this many rows: enough for fast reading, and a few fit in memory.
_GROUP_BYTES, _GROUP_ROWS = 16 << 20, 4096
#: Size assumed for a value of a binary column when the rows of a row group are chosen; a PNG of 1024 px has about this.
_PICTURE_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Table:
    """One table: its columns in order and the columns that identify a row."""

    name: str
    version: int
    key: tuple[str, ...]
    columns: tuple[pa.Field, ...]

    def schema(self, metadata: Mapping[str, str] | None = None) -> pa.Schema:
        """Return the Arrow schema, with name, version, key and `metadata` in the file's own metadata."""
        facts = {"table": self.name, "version": str(self.version), "key": ",".join(self.key)}
        return pa.schema(self.columns, metadata=facts | dict(metadata or {}))


def _field(name: str, kind: pa.DataType, *, null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=null)


def vector(name: str, size: int, kind: pa.DataType | None = None, *, null: bool = False) -> pa.Field:
    """Return a column of vectors of `size` floats (float32 by default); with `null`, a row may have none."""
    return pa.field(name, pa.list_(pa.field("element", kind or pa.float32(), nullable=False), size), nullable=null)


_S, _I, _F, _B = pa.string(), pa.int32(), pa.float64(), pa.binary()
_VECTOR = pa.list_(pa.field("element", pa.float32(), nullable=False))

PHOTOS = Table(
    "photos",
    2,
    ("photo_id",),
    (
        _field("photo_id", _S),  # sha256 of the file's bytes
        _field("path", _S),  # relative to the folder the run was started in
        _field("width", _I, null=True),  # after EXIF orientation
        _field("height", _I, null=True),
        _field("exif_orientation", _I, null=True),
        _field("mode", _S, null=True),  # Pillow's mode of the file
        _field("faces", _I, null=True),  # number of faces detected, before any choice
        _field("detector", _S, null=True),  # hog | mtcnn, the one that found them
        _field("status", _S),  # ok | no_face | unreadable | too_large
        _field("reason", _S),  # empty when ok, unless the photograph had to be turned
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
        _field("space", _S),  # z | w for one vector on all rows, zplus | wplus for a vector on each
        _field("method", _S),
        pa.field("vector", _VECTOR, nullable=False),  # unit length as a whole; row after row
        _field("unit", _F),  # length of one step (amount 1) along the vector, in the space's own units
        _field("first_row", _I),  # rows of ws it moves, half open
        _field("last_row", _I),
        _field("quality", _S),  # JSON: figures of the fit
    ),
)
EDITS = Table(
    "edits",
    4,
    ("image_id", "method", "edit", "direction", "reference", "amount"),
    (
        _field("image_id", _S),
        _field("method", _S),  # the inversion it starts from
        _field("edit", _S),  # its name in params.yaml (edit.edits)
        _field("kind", _S),  # shift, geodesic, stepped, local, interpolate, blend, mix, transfer
        _field("direction", _S),  # empty if it moves along none
        _field("reference", _S),  # image ids with commas between, empty without reference images
        _field("amount", _F),
        _field(
            "percentile", _F, null=True
        ),  # of the samples along the direction, which gave the amount; null: a number
        _field("sigmas", _F, null=True),  # of the edited code along the direction, from the samples' mean
        _field("crop", _B),  # PNG, generator resolution
        _field("pasted", _B, null=True),  # PNG, the photograph with the edited face in it
        _field("region", _S, null=True),  # along which it was pasted: square, face or head
        _field("reason", _S),  # why that is not the region that was asked for; empty where it is
    ),
)
SCORES = Table(
    "scores",
    2,
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
    3,
    (*EDITS.key, "metric"),
    (
        *(column for column in EDITS.columns if column.name in EDITS.key),
        _field("metric", _S),
        _field("value", _F, null=True),
        _field("status", _S),
    ),
)
STUDY_SCORES = Table(
    "study_scores",
    1,
    ("section", "image_id", "method", "seed", "variant", "amount", "metric"),
    (
        _field("section", _S),  # reconstruction, strength, out_of_range, in_domain, padding, consistency
        _field("image_id", _S),  # of the photograph's crop, also where a transformed one was inverted
        _field("method", _S),
        _field("seed", _I),  # 0 and on; methods without a random start have 0 alone
        _field("variant", _S),  # the direction, the transform or the kind of picture; empty where there is none
        _field("amount", _F),  # of the edit or on the way to the partner; the change of metrics that end in @change
        _field("metric", _S),  # as in scores; `code` is 1 where there is a code, and null with the reason where not
        _field("value", _F, null=True),
        _field("status", _S),  # ok, unavailable, failed, diverged, not_detected, not_reached, no_direction, ...
        _field("reason", _S),  # of rows of the metrics `code` and `picture`
    ),
)
STUDY_PICTURES = Table(
    "study_pictures",
    1,
    ("section", "image_id", "method", "seed", "variant", "amount"),
    (
        *(column for column in STUDY_SCORES.columns if column.name in STUDY_SCORES.key and column.name != "metric"),
        _field("png", _B),  # 256 px; the method is empty for the crop itself
    ),
)
STUDY_SUMMARY = Table(
    "study_summary",
    1,
    ("section", "method", "variant", "amount", "metric"),
    (
        *(column for column in STUDY_SCORES.columns if column.name in ("section", "method", "variant", "amount")),
        _field("metric", _S),
        _field("count", _I),  # photographs with a value; of several seeds their mean is taken first
        _field("missing", _I),  # photographs of the section without one
        _field("mean", _F, null=True),
        _field("low", _F, null=True),  # 95 % bootstrap interval
        _field("high", _F, null=True),
        _field("deviation", _F, null=True),  # standard deviation over the photographs; null below two
    ),
)
STUDY_COMPARISONS = Table(
    "study_comparisons",
    1,
    ("section", "method", "reference", "variant", "metric", "margin_kind"),
    (
        *(column for column in STUDY_SCORES.columns if column.name in ("section", "method")),
        _field("reference", _S),
        _field("variant", _S),
        _field("metric", _S),
        _field("margin_kind", _S),  # absolute (1e-8) or relative (2 % of the reference's mean)
        _field("margin", _F),
        _field("count", _I),  # photographs that both have
        _field("difference", _F),  # mean of method minus reference
        _field("low", _F),  # 95 % bootstrap interval of the paired differences
        _field("high", _F),
        _field("p_t", _F, null=True),  # small: not worse by the margin; null below two photographs
        _field("p_wilcoxon", _F, null=True),
    ),
)
STUDY_ORDERS = Table(
    "study_orders",
    1,
    ("source", "column", "larger", "smaller"),
    (
        _field("source", _S),  # a table of ganvert/study/published.yaml
        _field("column", _S),  # of that table
        _field("larger", _S),  # method as the paper names it
        _field("smaller", _S),
        _field("larger_preset", _S),  # what stands for it; empty where the study has none
        _field("smaller_preset", _S),
        _field("metric", _S),
        _field("count", _I),
        _field("difference", _F, null=True),  # mean of larger minus smaller
        _field("low", _F, null=True),
        _field("high", _F, null=True),
        _field("verdict", _S),  # yes, no, open (as printed or against), missing
    ),
)
#: Versions of the tables whose columns depend on the run; for the others the whole schema is compared too.
_VERSIONS = {"codes": 2, "samples": 1}


def samples_table(z_dim: int, w_dim: int, attributes: Sequence[str]) -> Table:
    """Return the table of generator samples: seed, z, w and one score column per attribute (null: no face was found).

    Args:
        z_dim: size of z.
        w_dim: size of w.
        attributes: names of the score columns, in order.
    """
    scores = tuple(_field(name, pa.float32(), null=True) for name in attributes)
    columns = (_field("seed", pa.int64()), vector("z", z_dim), vector("w", w_dim), *scores)
    return Table("samples", _VERSIONS["samples"], ("seed",), columns)


def codes_table(variables: Mapping[str, Sequence[int]], dtype: str = "float32") -> Table:
    """Return the table of one method's inversion codes.

    Args:
        variables: name of every variable of the space to its shape without the batch; each is stored as one flat
            fixed-size column, in C order.
        dtype: numpy's name of the float type of these columns.
    """
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


def group_rows(schema: pa.Schema) -> int:
    """Return the number of rows of a row group: about 16 MB of vectors and pictures, by the schema alone."""
    size = 0
    for field in schema:
        if pa.types.is_fixed_size_list(field.type):
            size += field.type.list_size * field.type.value_type.byte_width
        elif pa.types.is_binary(field.type):
            size += _PICTURE_BYTES
    return min(max(_GROUP_BYTES // max(size, 1), 1), _GROUP_ROWS)


def metadata_of(data: pa.Table | pa.Schema) -> dict[str, Any]:
    """Return the metadata a table was written with; values that are JSON objects are parsed.

    Raises:
        TableError: a value begins as a JSON object and is none, or is not UTF-8.
    """
    schema = data if isinstance(data, pa.Schema) else data.schema
    try:
        raw = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
        return {key: json.loads(value) if value.startswith("{") else value for key, value in raw.items()}
    except (ValueError, RecursionError) as error:
        raise TableError(f"a table's metadata cannot be read: {error}; make the table again") from error


def check_schema(path: Path, table: Table | str, schema: pa.Schema) -> None:
    """Refuse a file whose schema is not the one this code writes.

    Args:
        path: the file, for messages.
        table: what it should hold; of a name alone (``"codes"``, ``"samples"``) only name and version are checked.
        schema: of the file.

    Raises:
        TableError: another table, another version, or other columns.
    """
    name = table if isinstance(table, str) else table.name
    metadata = {
        key.decode(errors="replace"): value.decode(errors="replace") for key, value in (schema.metadata or {}).items()
    }
    if metadata.get("table") != name:
        raise TableError(f"{path}: wanted table {name!r}, got {metadata.get('table')!r}")
    version = table.version if isinstance(table, Table) else _VERSIONS.get(name)
    if version is not None and metadata.get("version") != str(version):
        raise TableError(
            f"{path}: wanted version {version} of table {name!r}, got {metadata.get('version')}; "
            "run `dvc repro` (or the command that writes it) again"
        )
    if isinstance(table, Table) and not schema.equals(table.schema()):
        raise TableError(f"{path}: stored schema is not the one this code writes; run `dvc repro` again")


def columns_text(schema: pa.Schema) -> str:
    """Return the names and types of the columns as one line for messages."""
    return ", ".join(f"{field.name} ({field.type})" for field in schema)
