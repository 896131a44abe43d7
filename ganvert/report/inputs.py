"""What the report is made of: tables, pictures, options; and the check that the tables are of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from PIL import Image

from ganvert.base.errors import ParamsError, TableError
from ganvert.tables import metadata_of

__all__ = ["SHOWN_OF_CODES", "ReportInputs", "ReportOptions", "check_same_run"]

#: Columns of codes that the page shows; the variables are large.
SHOWN_OF_CODES = ["image_id", "method", "space", "status", "reason", "steps", "best_step", "generator", "trace"]


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """params.yaml: report.

    Attributes:
        title: heading of the page.
        image_px: longest side of crops, reconstructions and edits on the page.
        photo_px: longest side of photographs and of the sheet of samples.
        jpeg_quality: of all pictures, 1 to 95.
    """

    title: str = "GAN inversion and editing"
    image_px: int = 1024
    photo_px: int = 640
    jpeg_quality: int = 85

    def __post_init__(self) -> None:
        """Refuse sizes and qualities that make no picture."""
        for name, low, high in (("image_px", 32, 2048), ("photo_px", 32, 4096), ("jpeg_quality", 1, 95)):
            if not low <= getattr(self, name) <= high:
                raise ParamsError(f"{name}: wanted {low} to {high}, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Tables and pictures of one run; the schemas are in :mod:`ganvert.tables.schemas`.

    Attributes:
        photos: table `photos`.
        aligned: table `aligned`.
        codes: tables `codes`, one per method; of their columns :data:`SHOWN_OF_CODES` are enough.
        reconstructions: tables `reconstructions`, one per method.
        edits: table `edits`.
        scores: table `scores`.
        edit_scores: table `edit_scores`.
        directions: table `directions`.
        originals: photo id to the upright photograph (any size); leave out those that no longer exist.
        samples: contact sheet of the generator's samples, if there is one.
        encoders: name of a trained encoder to two pictures: its loss plot, and held-out photographs above their
            inversions.
    """

    photos: pa.Table
    aligned: pa.Table
    codes: Sequence[pa.Table]
    reconstructions: Sequence[pa.Table]
    edits: pa.Table
    scores: pa.Table
    edit_scores: pa.Table
    directions: pa.Table
    originals: Mapping[str, Image.Image] = field(default_factory=dict)
    samples: Image.Image | None = None
    encoders: Mapping[str, tuple[Image.Image | None, Image.Image | None]] = field(default_factory=dict)


def check_same_run(inputs: ReportInputs) -> None:
    """Refuse tables of different runs: every image must be in `aligned`, every photograph in `photos`.

    Raises:
        TableError: an image or a photograph is in neither.
    """
    owners = {"image_id": inputs.aligned, "photo_id": inputs.photos}
    known = {column: set(table.column(column).to_pylist()) for column, table in owners.items()}
    tables = [inputs.aligned, *inputs.codes, *inputs.reconstructions, inputs.edits, inputs.scores, inputs.edit_scores]
    for table in tables:
        column = "photo_id" if table is inputs.aligned else "image_id"
        strangers = set(table.column(column).to_pylist()) - known[column]
        if strangers:
            raise TableError(
                f"{metadata_of(table).get('table', 'a table')}: {column} {min(strangers)!r} is in none of the rows of "
                f"{metadata_of(owners[column]).get('table')}; the tables are of different runs: run `dvc repro`"
            )
