"""What images of a table of codes are called: after their photographs, where a table of those lies near."""

from __future__ import annotations

from pathlib import Path

from ganvert import tables

__all__ = ["names_of_images"]


def names_of_images(table: Path) -> dict[str, str]:
    """Return image id to the name of its photograph, from the `photos.parquet` beside a table or in the folder above.

    There is one beside what `ganvert invert` and `extract` write, and in `data/` of a project. Empty without one.
    """
    for folder in (table.parent, table.parent.parent):
        path = folder / "photos.parquet"
        if path.is_file():
            rows = tables.rows(path, tables.PHOTOS, ["photo_id", "path", "faces"], 4096)
            return {
                f"{row['photo_id'][:16]}-{face}": Path(row["path"]).stem + f" face {face + 1}" * (face > 0)
                for row in rows
                for face in range(row["faces"] or 1)
            }
    return {}
