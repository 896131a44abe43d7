"""Where the assets are."""

from __future__ import annotations

import os
from pathlib import Path

from ganvert.base.errors import AssetError
from ganvert.base.files import user_cache
from ganvert.base.project import in_project

__all__ = ["home", "path"]


def home() -> Path:
    """Return the assets folder: ``$GANVERT_ASSETS``, or ``data/assets`` of a project, or the user's cache."""
    if folder := os.environ.get("GANVERT_ASSETS"):
        return Path(os.path.expanduser(folder))  # noqa: PTH111 (Path's own raises for a user that there is not)
    if in_project():
        return Path("data/assets")
    return user_cache()


def path(name: str, folder: Path | None = None, command: str = "ganvert fetch") -> Path:
    """Return the path of an asset.

    Args:
        name: its file name.
        folder: the assets folder; :func:`home` by default.
        command: what fetches it, for the message.

    Raises:
        AssetError: it has not been fetched.
    """
    file = (home() if folder is None else Path(folder)) / name
    if not file.is_file():
        raise AssetError(f"{file} is missing; run `{command}` (or set GANVERT_ASSETS to the folder that has it)")
    return file
