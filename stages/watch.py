"""watch: whatever lists in params.yaml name -> data/watched/*.json, which change exactly when one of the files does.

DVC takes no list for dependencies, and would stop at an entry of a folder that it cannot read. This stage always runs.
It imports nothing that takes time, and leaves it to the stages that read these files to complain about them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ganvert.base import params
from ganvert.base.errors import GanvertError
from ganvert.base.files import write_json

PARAMS = Path("params.yaml")
OUT = Path("data/watched")
MADE = "data/encoders/"  # by an earlier stage of the same run: DVC compares this folder
_LISTS = {".txt", ".csv", ".jsonl"}
log = logging.getLogger("watch")


def main() -> None:
    """Run the stage."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        raw = params.load(PARAMS)
        photographs = _texts(raw, "align", "photos")
        compared = _texts(raw, "study", "photos")
        write_json(OUT / "photographs.json", {path: digest(entries(path)) for path in photographs})
        write_json(OUT / "study.json", {path: digest(entries(path)) for path in compared})
        tables = [*_texts(raw, "sample", "known"), *_texts(raw, "sample", "tables")]
        scorers = [_code_of(name) for name in _texts(raw, "sample", "callables")]
        starts = sorted({path for path in _starts(raw) if not path.startswith(MADE)})
        write_json(OUT / "samples.json", {path: digest(entries(path)) for path in [*tables, *scorers]})
        write_json(OUT / "weights.json", {path: digest(entries(path)) for path in starts})
    except GanvertError as error:
        sys.exit(f"stage watch: {error}")
    except OSError as error:
        sys.exit(f"stage watch: {error.filename or 'file'}: {error.strerror or error}")
    counts = len(photographs), len(tables) + len(scorers), len(starts)
    log.info("%d inputs of photographs, %d of samples, %d of methods", *counts)


def _texts(raw: Any, section: str, key: str) -> list[str]:
    """Return the text, or the texts of the list, under a key; whatever else stands there is refused by other stages."""
    value = raw[section].get(key) if isinstance(raw.get(section), dict) else None
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]


def _starts(raw: Any) -> list[str]:
    """Return the files that the methods of `invert` start from."""
    section = raw.get("invert")
    methods = section.get("methods") if isinstance(section, dict) else None
    return [path for name in methods for path in _texts(section, "methods", name)] if isinstance(methods, dict) else []


def _code_of(scorer: str) -> str:
    """Return the file or folder of ``package.module:function`` if it lies in the project; installed ones stay."""
    package = scorer.partition(":")[0].partition(".")[0]
    return package if Path(package).is_dir() else f"{package}.py"


def entries(path: str) -> Iterator[str]:
    """Yield an input, what lies below a folder, and what a list names; hidden entries and linked folders excepted.

    Nothing is opened but lists: an entry may be a pipe.
    """
    yield path
    if os.path.splitext(path)[1].lower() in _LISTS and Path(path).is_file():  # noqa: PTH122
        yield from _named(path)
    folders = [path] if Path(path).is_dir() else []
    while folders:
        try:
            inside = list(os.scandir(folders.pop()))
        except OSError:
            continue
        for entry in inside:
            if not entry.name.startswith((".", "__pycache__")):
                yield entry.path
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)


def _named(path: str) -> Iterator[str]:
    """Yield the files that a list names."""
    from ganvert.extraction.sources import SOURCES  # takes seconds, which most runs save

    source = SOURCES["list"](path)
    try:
        for entry in source.members():
            yield source.file(entry.locator)
    except GanvertError:
        return


def digest(paths: Iterable[str]) -> dict[str, Any]:
    """Return the number of some entries, and a digest of their names, kinds, sizes and times."""
    lines, total = [], 0
    for path in paths:
        try:
            facts = os.stat(path)  # noqa: PTH116 (of what a link points to)
        except (OSError, ValueError) as error:
            line = type(error).__name__  # a broken link, for example
        else:
            line = f"{stat.S_IFMT(facts.st_mode):o}"
            if not stat.S_ISDIR(facts.st_mode):  # a folder's time changes with its hidden entries too
                line += f" {facts.st_size} {facts.st_mtime_ns}"
        lines.append(hashlib.sha256(f"{path}\0{line}".encode(errors="surrogatepass")).digest())
        total += 1
    return {"entries": total, "sha256": hashlib.sha256(b"".join(sorted(lines))).hexdigest()}


if __name__ == "__main__":
    main()
