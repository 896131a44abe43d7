"""Where pictures lie: folders, archives, tables, lists of names. A new kind is one file and one line in `SOURCES`.

The package may import `tables`, `faces` and what lies below.
"""

from __future__ import annotations

from pathlib import Path

from ganvert.base.errors import InputError
from ganvert.extraction.sources.base import Entry, Source, content_id, fetch, identify, reason_of, stamp_of
from ganvert.extraction.sources.folder import Folder, SingleFile
from ganvert.extraction.sources.list import PathList
from ganvert.extraction.sources.parquet import AlignedTable, Parquet
from ganvert.extraction.sources.tar import Tar
from ganvert.extraction.sources.zip import Zip
from ganvert.faces.listing import SUFFIXES

__all__ = ["SOURCES", "Entry", "Source", "content_id", "fetch", "identify", "kind_of", "reason_of", "stamp_of"]

#: Kinds of inputs by name; the first one that takes a path reads it.
SOURCES: dict[str, type[Source]] = {
    "folder": Folder,
    "zip": Zip,
    "tar": Tar,
    "aligned": AlignedTable,
    "parquet": Parquet,
    "list": PathList,
    "file": SingleFile,
}


def kind_of(path: Path) -> str:
    """Return the kind of an input, a name in `SOURCES`.

    Raises:
        InputError: it does not exist, is no regular file, or is of no known kind.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such photo folder, archive, table or file; make it or correct the path")
    if not (path.is_dir() or path.is_file()):  # opening a pipe or a device may never end
        raise InputError(f"{path}: neither a folder nor a regular file")
    for kind, source in SOURCES.items():
        if source.takes(path):
            return kind
    raise InputError(
        f"{path}: not an input of a known kind; wanted a folder, .zip, .tar (.gz, .xz, .bz2), .parquet, a list of "
        f"files (.txt, .csv, .jsonl), or a picture ({' '.join(sorted(SUFFIXES))})"
    )
