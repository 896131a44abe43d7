"""What a ganvert project is: the one place that decides whether the current folder is one."""

from __future__ import annotations

from pathlib import Path

__all__ = ["in_project"]

_PIPELINE = "-m stages.invert"  # in the dvc.yaml of ganvert, and in no other


def in_project(folder: Path = Path()) -> bool:
    """Return whether a folder is a ganvert project: params.yaml, and a dvc.yaml that runs ganvert's stages.

    Only there do commands use the folder's params.yaml, ``presets/`` and ``data/``. Elsewhere files of these names
    belong to something else, and commands work from what is shipped.

    Args:
        folder: the current one if not given.
    """
    pipeline = folder / "dvc.yaml"
    if not (pipeline.is_file() and (folder / "params.yaml").is_file()):
        return False
    try:
        return _PIPELINE in pipeline.read_text(errors="replace")
    except OSError:
        return False
