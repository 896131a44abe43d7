"""What a command expects of the paths it is given, checked before any work.

A parameter says it in its type: ``out: Annotated[Path, typer.Option(...), Writes("png")]``.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from typer.models import OptionInfo

from ganvert.base.errors import InputError, ParamsError
from ganvert.base.files import check_writable
from ganvert.editing.animation import MP4, check_video

__all__ = ["Reads", "Writes", "check_files", "check_paths", "is_picture_name"]

#: How names of pictures may end, by kind of output; without an ending it is PNG, or a folder where one is possible.
_ENDINGS = {"png": (".png", ""), "series": (".png", ".gif", ".mp4", ""), "pictures": (".png", ".gif", ".mp4")}


@dataclasses.dataclass(frozen=True)
class Reads:
    """Marks a path, or a list of them, of files that have to be there."""


@dataclasses.dataclass(frozen=True)
class Writes:
    """Marks a path that is written.

    Attributes:
        kind: a folder, a file; "png", a picture, which is PNG whatever its name; "series", a strip (PNG) or an
            animation (.gif, .mp4); "pictures", one of these if the name ends so, else a folder.
    """

    kind: Literal["folder", "file", "png", "series", "pictures"]


def check_paths(function: Callable[..., None], values: Mapping[str, Any]) -> None:
    """Check the values of a command's parameters against their marks.

    Raises:
        ParamsError: a name does not end as it should.
        InputError: a file is missing, a folder stands where a file is wanted or the other way round, or a result would
            replace an input.
        StorageError: a folder cannot be written to.
    """
    marked = list(_marked(function, values))
    outs = [(option, path, mark.kind) for option, path, mark in marked if isinstance(mark, Writes)]
    for option, path, kind in outs:
        _check_ending(option, path, kind)
        check_writable(path, folder=kind == "folder" or (kind == "pictures" and not is_picture_name(path)), what=option)
    for option, value, mark in marked:
        if isinstance(mark, Reads):
            for out in [None, *(path for _, path, _ in outs)]:
                check_files(value if isinstance(value, list) else [value], option, out)


def is_picture_name(path: Path) -> bool:
    """Return whether an output of the kind "pictures" is one picture, and not a folder of them."""
    return path.suffix.lower() in _ENDINGS["pictures"]


def _check_ending(option: str, path: Path, kind: str) -> None:
    """Raise ParamsError for a name that ends as a picture does which is not written, such as .jpg."""
    from ganvert.faces.listing import is_photo_name

    endings = _ENDINGS.get(kind)
    if endings is not None and path.suffix.lower() == MP4:
        check_video(option)
    if endings is None or path.suffix.lower() in endings:
        return
    *first, last = (ending for ending in endings if ending)
    named = f"{', '.join(first)} or {last}" if first else last
    if kind != "pictures":
        raise ParamsError(f"{option}: wanted a name that ends in {named}, got {path}")
    # A folder may be called v1.2; one called me.jpg is a mistake.
    if is_photo_name(path.name) or path.suffix.lower() in (MP4, ".mov", ".webm"):
        raise ParamsError(f"{option}: wanted a name that ends in {named}, or a folder, got {path}")


def check_files(paths: Iterable[Path], what: str, out: Path | None = None) -> None:
    """Raise InputError for a file that is not there, or that is `out` and so would be replaced."""
    for path in paths:
        if not path.is_file():
            trouble = "is a folder; wanted a file" if path.is_dir() else "there is no such file"
            raise InputError(f"{what}: {path}: {trouble}")
        if out is not None and out.exists() and out.samefile(path):
            raise InputError(f"--out: {out} is an input, which would be replaced; give another name")


def _marked(function: Callable[..., None], values: Mapping[str, Any]) -> Iterable[tuple[str, Any, Reads | Writes]]:
    """Yield the marked parameters that have a value: what messages call it, the value, the mark."""
    for name, hint in typing.get_type_hints(function, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            if isinstance(mark, Reads | Writes) and values.get(name) is not None:
                is_option = any(isinstance(part, OptionInfo) for part in hint.__metadata__)
                yield f"--{name.replace('_', '-')}" if is_option else name.upper(), values[name], mark
