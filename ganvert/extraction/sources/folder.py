"""Pictures in a folder, and a picture alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ganvert.extraction.sources.base import Entry, FileSource
from ganvert.faces.decode import is_image
from ganvert.faces.listing import is_photo_name, walk_photos

__all__ = ["Folder", "SingleFile"]


class Folder(FileSource):
    """All image files below a folder, except hidden ones and archives."""

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.is_dir()

    def members(self) -> Iterator[Entry]:
        for path in walk_photos(self.path, self.skipped):
            name = path[len(self.path.rstrip("/")) + 1 :]  # no Path objects: there may be millions
            yield Entry(name, name)

    def file(self, locator: str) -> str:
        return locator if self.path == "." else f"{self.path.rstrip('/')}/{locator}"


class SingleFile(FileSource):
    """One image file, known by its ending, or by its first bytes if the ending is none of ours."""

    @classmethod
    def takes(cls, path: Path) -> bool:
        if is_photo_name(path.name):
            return True
        with path.open("rb") as file:
            return is_image(file)

    def members(self) -> Iterator[Entry]:
        yield Entry("", self.path)

    def mount(self) -> str:
        return str(Path(self.path).parent)
