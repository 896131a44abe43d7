"""Pictures in a folder, and a picture alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from ganvert.extraction.sources.base import Entry, FileSource
from ganvert.faces.photo import is_photo_name, walk_photos

__all__ = ["Folder", "SingleFile"]


class Folder(FileSource):
    """All image files below a folder, except hidden ones and archives."""

    @classmethod
    def takes(cls, path: Path) -> bool:
        return path.is_dir()

    def members(self) -> Iterator[Entry]:
        for path in walk_photos(self.path):
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
        try:
            with Image.open(path):  # reads the header only
                return True
        except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
            return False

    def members(self) -> Iterator[Entry]:
        yield Entry("", self.path)

    def mount(self) -> str:
        return str(Path(self.path).parent)
