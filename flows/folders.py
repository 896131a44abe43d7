"""Which folders the runs of a served flow may use. Whoever starts the server names them; a request only chooses."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PHOTOS = ("data", "data/photos", "data/sample_photos")  # each by itself: any of them may be a link
OUTPUTS = ("data/extracted",)


class FolderError(ValueError):
    """A path that a request may not name."""


@dataclass(frozen=True)
class Folders:
    """Absolute paths without links.

    Attributes:
        root: the project, with params.yaml and dvc.yaml.
        photos: folders (or single files) that photographs may come from.
        outputs: folders that tables may be written to.
    """

    root: Path
    photos: tuple[Path, ...]
    outputs: tuple[Path, ...]

    @classmethod
    def of(cls, root: Path, photos: Iterable[Path] = (), outputs: Iterable[Path] = ()) -> Folders:
        """Return the folders of a project, and more of them; relative paths are relative to the current folder."""
        own = root.resolve()
        return cls(
            own,
            tuple(dict.fromkeys([*((own / name).resolve() for name in PHOTOS), *(path.resolve() for path in photos)])),
            tuple(
                dict.fromkeys([*((own / name).resolve() for name in OUTPUTS), *(path.resolve() for path in outputs)])
            ),
        )

    def photo(self, path: str) -> Path:
        """Return a path of photographs; raises FolderError if it lies in none of the folders."""
        return self._inside(path, self.photos, "photos", "--photos")

    def output(self, path: str) -> Path:
        """Return a folder for tables; raises FolderError if it lies in none of the folders."""
        return self._inside(path, self.outputs, "out", "--out")

    def _inside(self, path: str, folders: Sequence[Path], what: str, option: str) -> Path:
        try:
            real = (self.root / path).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name, a circle of links
            raise FolderError(f"{what}: {path!r}: {error}") from error
        if any(real.is_relative_to(folder) for folder in folders):
            return real
        raise FolderError(
            f"{what}: wanted a path in {' or '.join(map(str, folders))}, got {path!r}; whoever starts the server "
            f"allows another folder with {option} FOLDER"
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `flows.serve` and `flows.ui` share."""
    parser.add_argument(
        "--cron", help="also run the pipeline on this schedule, e.g. '0 3 * * *' (every night at three)"
    )
    parser.add_argument(
        "--photos",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="another folder that extractions may read; `data` is one already (may be repeated)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help=f"another folder that extractions may write to; `{OUTPUTS[0]}` is one already (may be repeated)",
    )


def serve_arguments(arguments: argparse.Namespace) -> list[str]:
    """Return parsed options as arguments of `flows.serve`."""
    given = [("--photos", path) for path in arguments.photos] + [("--out", path) for path in arguments.out]
    cron = ["--cron", arguments.cron] if arguments.cron else []
    return [*cron, *(part for option, path in given for part in (option, str(path)))]
