"""Reading a checkpoint of any format: the first format that recognises the file's layout reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ganvert.base.errors import CheckpointError, GanvertError
from ganvert.checkpoints import FORMATS, REFUSED
from ganvert.checkpoints.base import Checkpoint, Content, Format, Instance
from ganvert.checkpoints.containers import read_content
from ganvert.checkpoints.unpickle import brief

__all__ = ["read_checkpoint", "read_discriminator"]

T = TypeVar("T")


def read_checkpoint(path: Path | str, content: Content | None = None) -> Checkpoint:
    """Read the generator in a file, in ganvert's names.

    Args:
        path: the file.
        content: of the file, where it is read already.

    Raises:
        CheckpointError: the file is missing or cannot be read safely, no format recognises its layout, or something
            in it is missing or does not fit.
    """
    return _read(path, "generator", lambda format_, content: format_.read(content), content)


def read_discriminator(path: Path | str) -> Checkpoint | None:
    """Read the discriminator that a file holds beside its generator.

    Returns:
        The discriminator, or None if there is none or the format does not read it.

    Raises:
        CheckpointError: see :func:`read_checkpoint`.
    """
    return _read(
        path, "discriminator", lambda format_, content: format_.discriminator and format_.discriminator(content)
    )


def _read(path: Path | str, what: str, read: Callable[[Format, Content], T], content: Content | None = None) -> T:
    """Apply `read` to a file with the first format that matches."""
    content = content or read_content(path)
    for refused in REFUSED.values():
        if refused.matches(content):
            raise CheckpointError(f"{path}: {refused.reason}")
    try:
        for format_ in FORMATS.values():
            if format_.matches(content):
                return read(format_, content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except GanvertError:
        raise
    except Exception as error:  # a file whose names match but whose values do not can raise anything
        raise CheckpointError(f"{path}: not a {what} ({type(error).__name__}: {error})") from error
    raise CheckpointError(
        f"{path}: {_summary(content)}; not a ganvert generator, nor any other that is read: {', '.join(FORMATS)}"
    )


def _summary(content: Content) -> str:
    """Describe a file in a few words."""
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
