"""Remove files of DVC's own that a kill left empty or cut off, and that DVC refuses to run with ever after.

    python -m flows.mend

DVC writes them in place. Without its record of what was computed, ``dvc.lock``, it takes results out of its run cache.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from dvc.exceptions import DvcException
from dvc.lock import make_lock
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from voluptuous import Invalid

__all__ = ["MENDED", "mend"]

#: What is said of a file that was removed.
MENDED = "%s: cut off by a kill, and removed; DVC restores results from its cache"


def mend(root: Path) -> list[Path]:
    """Remove what DVC could not read; return which files these were.

    Args:
        root: folder of the project. Other DVC processes there are waited for, as what they write is incomplete.
    """
    temporary = root / ".dvc/tmp"
    if not temporary.is_dir():  # DVC has never run here
        return []
    with make_lock(str(temporary / "lock"), tmp_dir=str(temporary), wait=True):
        damaged = [
            path
            for path, is_whole in ((temporary / "rwlock", _is_json), (root / "dvc.lock", _is_record))
            if path.is_file() and not is_whole(path)
        ]
        for path in damaged:
            path.unlink()
    return damaged


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def _is_record(path: Path) -> bool:
    try:
        # Of every stage's start: the loader in C takes a tenth of the time, and DVC's lock is held meanwhile.
        COMPILED_LOCKFILE_SCHEMA(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader))
    except (ValueError, yaml.YAMLError, Invalid):
        return False
    return True


def main() -> None:
    """Mend the project in the current folder."""
    try:
        for path in mend(Path()):
            print(MENDED % path, file=sys.stderr)  # noqa: T201
    except (DvcException, OSError) as error:
        sys.exit(f"flows.mend: {error}")


if __name__ == "__main__":
    main()
