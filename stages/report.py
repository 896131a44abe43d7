"""report: every table of the pipeline -> reports/report.html, one self-contained page."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
from PIL import Image

from ganvert import tables
from ganvert.base.errors import PhotoError
from ganvert.base.files import atomic_path
from ganvert.images import from_png
from ganvert.report import SHOWN_OF_CODES, ReportInputs, build_report, overview
from stages.common import stage
from stages.photographs import Photographs

DATA = Path("data")
OUT = Path("reports/report.html")
SHEET = Path("reports/overview.jpg")
TRAINING = Path("reports/train_encoder")
log = logging.getLogger("report")


def main() -> None:
    """Run the stage."""
    with stage("report") as settings:
        options = settings.report
        photos = tables.read(DATA / "photos.parquet", tables.PHOTOS)
        scores = tables.read(DATA / "scores.parquet", tables.SCORES)
        # A method that left params.yaml may have left its files behind; the scores name those of this run.
        methods = dict.fromkeys(scores.column("method").to_pylist())
        inputs = ReportInputs(
            photos=photos,
            aligned=tables.read(DATA / "aligned.parquet", tables.ALIGNED),
            codes=[tables.read(DATA / f"codes/{method}.parquet", "codes", SHOWN_OF_CODES) for method in methods],
            reconstructions=[
                tables.read(DATA / f"reconstructions/{method}.parquet", tables.RECONSTRUCTIONS) for method in methods
            ],
            edits=tables.read(DATA / "edits.parquet", tables.EDITS),
            scores=scores,
            edit_scores=tables.read(DATA / "edit_scores.parquet", tables.EDIT_SCORES),
            directions=tables.read(DATA / "directions.parquet", tables.DIRECTIONS),
            originals=originals(photos, settings.align.photos, options.photo_px),
            samples=picture(DATA / "samples.png"),
            encoders=encoders(settings.train_encoder.encoders),
        )
        page = build_report(inputs, options)
        with atomic_path(OUT) as temporary:
            temporary.write_text(page, encoding="utf-8")
        with atomic_path(SHEET) as temporary:
            overview(inputs).save(temporary, quality=90)
        log.info("%s: %.1f MB", OUT, len(page) / 1e6)


def encoders(names: Iterable[str]) -> dict[str, tuple[Image.Image | None, Image.Image | None]]:
    """Return encoder to its pictures: the losses of its training, and held-out photographs above their inversions."""
    return {
        name: (picture(TRAINING / f"{name}.png"), picture(DATA / f"encoders/{name}/validation.png")) for name in names
    }


def originals(photos: pa.Table, inputs: Sequence[str], longest: int) -> dict[str, Image.Image]:
    """Return photo id to the photograph, shrunk, for every photograph that can be read and is still the same file.

    Args:
        photos: the table `photos`.
        inputs: `align.photos` of params.yaml.
        longest: side of a picture [px].
    """
    pictures = {}
    with Photographs(inputs) as photographs:
        for row in photos.to_pylist():
            if row["width"] is None or row["status"] == "too_large":
                continue
            try:
                photo = photographs.open(row["photo_id"], row["path"], row["width"] * row["height"])
            except PhotoError as error:
                log.warning("the report leaves out a photograph: %s", error)
                continue
            photo.image.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
            pictures[row["photo_id"]] = photo.image
    return pictures


def picture(path: Path) -> Image.Image | None:
    """Return a picture that an earlier stage drew, or None if this run has none."""
    return from_png(path.read_bytes()) if path.exists() else None


if __name__ == "__main__":
    main()
