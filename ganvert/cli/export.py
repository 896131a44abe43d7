"""`ganvert export`: pictures out of tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganvert.base.errors import InputError, TableError
from ganvert.cli.app import command
from ganvert.cli.common import counted
from ganvert.cli.paths import Reads, Writes

if TYPE_CHECKING:
    from ganvert.tables import Table

__all__ = ["EXPORTS", "export"]

Row = Mapping[str, Any]


def _edit_name(row: Row, names: Mapping[str, str]) -> str:
    references = "".join(f"_{names.get(image_id, image_id)}" for image_id in filter(None, row["reference"].split(",")))
    return f"_{row['edit']}{references}{row['amount']:+g}"


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures of a table.

    Attributes:
        columns: the columns that name a row's files.
        ending: function of a row and the names of images: what follows the photograph in the name of its files.
        pictures: column of pictures to what its files' names end in.
    """

    columns: tuple[str, ...]
    ending: Callable[[Row, Mapping[str, str]], str]
    pictures: Mapping[str, str]


#: Name of a table -> its pictures.
EXPORTS: dict[str, Pictures] = {
    "edits": Pictures(("image_id", "edit", "reference", "amount"), _edit_name, {"crop": "", "pasted": "_pasted"}),
    "aligned": Pictures(("image_id", "path"), lambda row, names: "_crop", {"crop": ""}),
    "reconstructions": Pictures(("image_id", "method"), lambda row, names: f"_{row['method']}", {"png": ""}),
}


@command(
    "ganvert export data/edits.parquet --out edits",
    "ganvert export data/reconstructions/wplus.parquet --image me --out pictures",
)
def export(
    *,
    file: Annotated[Path, typer.Argument(help="A table of edits, aligned crops or reconstructions."), Reads()],
    out: Annotated[Path, typer.Option(help="Folder for the pictures."), Writes("folder")],
    image: Annotated[
        list[str] | None, typer.Option(help="Only this image, by id or name of its photograph; may be repeated.")
    ] = None,
) -> None:
    """Write the pictures of a table as PNG files, named after the photographs, the edit and its amount.

    Names of photographs are those of the `photos.parquet` beside the table or in the folder above.
    """
    from ganvert import tables
    from ganvert.base.files import atomic_path, file_names, mark_output
    from ganvert.codes import names_of_images
    from ganvert.compute.progress import progress

    kind, table = _table(file)
    names = names_of_images(file)

    wanted = set(image or [])

    def rows(*pictures: str) -> Iterator[Row]:
        for row in tables.rows(file, table, [*kind.columns, *pictures]):
            if not wanted or not wanted.isdisjoint(_calls(row, names)):
                yield row

    chosen = list(rows())  # all of them before the first picture: no two files may have the same name
    if missing := sorted(wanted.difference(*(_calls(row, names) for row in chosen))):
        raise InputError(f"{file}: has no pictures of {', '.join(missing)}")
    files = file_names(_name(row, names) + kind.ending(row, names) for row in chosen)
    if not files:
        raise InputError(f"{file}: has no pictures")
    mark_output(out)
    written = 0
    for name, row in progress(zip(files, rows(*kind.pictures), strict=True), len(files), "pictures"):
        for column, what in kind.pictures.items():
            if row[column] is not None:
                with atomic_path(out / f"{name}{what}.png") as temporary:
                    temporary.write_bytes(row[column])
                written += 1
    print(f"{counted(written, 'picture')} {'is' if written == 1 else 'are'} in {out}")  # noqa: T201


def _calls(row: Row, names: Mapping[str, str]) -> set[str]:
    """Return what a row's image may be called: its id, and the name of its photograph where that is known."""
    return {row["image_id"], names.get(row["image_id"], row["image_id"])}


def _name(row: Row, names: Mapping[str, str]) -> str:
    """Return what files of an image are called after: its photograph where that is known, else its id."""
    known = Path(row["path"]).stem if "path" in row else row["image_id"]
    return names.get(row["image_id"], known)


def _table(file: Path) -> tuple[Pictures, Table]:
    """Return what pictures a table has, and its schema.

    Raises:
        UnknownNameError: it is a table without pictures.
        TableError: it is no table, or damaged.
    """
    import pyarrow.parquet as pq

    from ganvert import tables
    from ganvert.base.registry import lookup
    from ganvert.tables.reader import UNREADABLE

    try:
        name = str(tables.metadata_of(pq.read_schema(file)).get("table"))
    except UNREADABLE as error:
        raise TableError(f"{file}: not a readable Parquet file; wanted a table of {' or '.join(EXPORTS)}") from error
    return lookup(EXPORTS, name, f"{file}: table with pictures"), getattr(tables, name.upper())
