"""A checkpoint of any format: the first format that knows the file's layout reads it."""

from __future__ import annotations

from pathlib import Path

from ganvert.checkpoints import FORMATS
from ganvert.checkpoints.base import Checkpoint, Content, Instance
from ganvert.checkpoints.containers import read_content
from ganvert.checkpoints.unpickle import brief
from ganvert.errors import CheckpointError, GanvertError

__all__ = ["read_checkpoint"]


def read_checkpoint(path: Path | str) -> Checkpoint:
    """The generator in a file, in our own names.

    Raises:
        CheckpointError: the file is missing or cannot be read safely, no format knows its layout, or the layout is
            known and something in it is missing or does not fit.
    """
    content = read_content(path)
    try:
        for format_ in FORMATS.values():
            if format_.matches(content):
                return format_.read(content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except GanvertError:
        raise
    except Exception as error:  # names and kinds fit, values do not: the file's fault
        raise CheckpointError(f"{path}: not a generator ({type(error).__name__}: {error})") from error
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
