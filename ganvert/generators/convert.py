"""Conversion of a checkpoint of any known format to ganvert's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ganvert.base.errors import InputError, ParamsError
from ganvert.base.files import sha256_of
from ganvert.checkpoints.base import Checkpoint, Content
from ganvert.checkpoints.ganvert_file import save_generator
from ganvert.checkpoints.read import read_checkpoint
from ganvert.generators import Generator, build_generator
from ganvert.generators.describe import describe_generator

__all__ = ["check_import", "import_generator", "save_import"]


def import_generator(path: Path, out: Path, *, force: bool = False, content: Content | None = None) -> dict[str, Any]:
    """Convert a checkpoint to ganvert's own format.

    Args:
        path: of any format in ``ganvert.checkpoints.FORMATS``; nothing in it is executed.
        out: the safetensors file to write, whole or not at all. Its metadata record where it came from.
        force: replace an existing `out`.
        content: of the file, where it is read already.

    Returns:
        A description of the generator, see :func:`ganvert.generators.describe.describe`.

    Raises:
        ParamsError: `out` does not end in .safetensors.
        InputError: `out` exists, or `path` does not.
        CheckpointError: the file cannot be read, or its tensors do not fit.
    """
    check_import(path, out, force=force)
    checkpoint = read_checkpoint(path, content)
    generator = build_generator(checkpoint.architecture, checkpoint.state, checkpoint.config, str(path))
    return save_import(path, checkpoint, generator, out)


def save_import(path: Path, checkpoint: Checkpoint, generator: Generator, out: Path) -> dict[str, Any]:
    """Write the generator of a checkpoint in our format, with where it came from; return its description."""
    metadata = {
        "source_format": checkpoint.format,
        "source_sha256": sha256_of(path),
        "classes": str(generator.label_dim),
        "ignored": json.dumps(list(checkpoint.ignored)),
    }
    save_generator(out, checkpoint, metadata)
    return describe_generator(generator, checkpoint) | {"source sha256": metadata["source_sha256"]}


def check_import(path: Path, out: Path, *, force: bool) -> None:
    """Raise ParamsError or InputError where the output's name, or one of the files, is not as it should be."""
    if out.suffix != ".safetensors":
        raise ParamsError(f"{out}: wanted a name that ends in .safetensors")
    if out.exists() and not force:
        raise InputError(f"{out} exists already; --force replaces it")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
