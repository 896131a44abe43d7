"""The pictures of some inputs, by the catalogue of these inputs in a work store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ganvert.extraction.catalogue import Catalogue, Scan

__all__ = ["list_pictures"]


def list_pictures(inputs: Sequence[Path], work: Path) -> tuple[Catalogue, Scan]:
    """Return the pictures of some inputs; those that an earlier run with this work store has read are not read again.

    Args:
        inputs: folders, pictures, archives, tables and lists (:mod:`ganvert.extraction.sources`).
        work: the work store.

    Raises:
        InputError: an input is missing or holds no picture.
        StorageError: the catalogue cannot be written to.
    """
    paths = [str(Path(path).absolute()) for path in inputs]
    # The current folder too: names of pictures are relative to it.
    name = hashlib.sha256("\0".join([str(Path.cwd()), *paths]).encode(errors="surrogateescape")).hexdigest()[:32]
    catalogue = Catalogue(Path(work).absolute() / "catalogues" / f"{name}.sqlite")
    return catalogue, catalogue.scan(inputs)
