"""A checkpoint of any format: the first format that knows the file's layout reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ganvert.base.errors import CheckpointError, GanvertError
from ganvert.checkpoints import FORMATS
from ganvert.checkpoints.base import Checkpoint, Content, Format, Instance
from ganvert.checkpoints.containers import read_content
from ganvert.checkpoints.unpickle import brief

__all__ = ["read_checkpoint", "read_discriminator"]

T = TypeVar("T")


def read_checkpoint(path: Path | str) -> Checkpoint:
    """The generator in a file, in our own names.

    Raises:
        CheckpointError: the file is missing or cannot be read safely, no format knows its layout, or the layout is
            known and something in it is missing or does not fit.
    """
    return _read(path, "generator", lambda format_, content: format_.read(content))


def read_discriminator(path: Path | str) -> Checkpoint | None:
    """The discriminator beside a generator in a file; None where there is none, or where none of that format are read.

    Raises:
        CheckpointError: as :func:`read_checkpoint`.
    """
    return _read(
        path, "discriminator", lambda format_, content: format_.discriminator and format_.discriminator(content)
    )


def _read(path: Path | str, what: str, read: Callable[[Format, Content], T]) -> T:
    """What `read` finds in a file by the first format that matches."""
    content = read_content(path)
    try:
        for format_ in FORMATS.values():
            if format_.matches(content):
                return read(format_, content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except GanvertError:
        raise
    except Exception as error:  # names and kinds fit, values do not: the file's fault
        raise CheckpointError(f"{path}: not a {what} ({type(error).__name__}: {error})") from error
    raise CheckpointError(
        f"{path}: {_looks(content)}; not a ganvert generator, nor any other that is read: {', '.join(FORMATS)}"
    )


def _looks(content: Content) -> str:
    """What a file is, in a few words."""
    match content.root:
        case dict() as root:
            keys = ", ".join(brief(key) for key in list(root)[:8])
            inside = f"of {len(root)} entries ({keys}{', ...' if len(root) > 8 else ''})"
        case tuple() | list() as root:
            inside = f"of {len(root)} parts"
        case Instance() as root:
            inside = f"of {root.kind}"
        case root:
            inside = f"of {brief(root)}"
    return f"a {content.container} file {inside}"
