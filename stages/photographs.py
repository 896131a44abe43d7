"""The photographs that `align.photos` of params.yaml lists, for stages that show or change them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from ganvert.base.errors import PhotoError
from ganvert.extraction.listing import list_pictures
from ganvert.extraction.members import Member, Reader
from ganvert.faces.photo import Photo, open_photo

WORK = Path(".work/extraction")


class Photographs:
    """The photographs that params.yaml lists, wherever they lie: as `align` reads them, and known by their content.

    Close it, or use it as a context manager.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        """List them; those that `align` has read are not read again.

        Args:
            inputs: `align.photos` of params.yaml.
        """
        catalogue, _ = list_pictures([Path(path) for path in inputs], WORK)
        self._members: dict[str, Member] = {}
        with catalogue:
            for member in catalogue.members():
                # Crops of an aligned table are listed by more than their bytes; rows name them by the path too.
                self._members[member.path] = self._members[member.photo_id] = member
        self._reader = Reader()

    def open(self, photo_id: str, path: str, max_pixels: int) -> Photo:
        """Return a photograph.

        Args:
            photo_id: sha256 of its bytes.
            path: what its row calls it.
            max_pixels: see :func:`ganvert.faces.open_photo`.

        Raises:
            PhotoError: it is not there any more, or cannot be read.
        """
        member = self._members.get(photo_id) or self._members.get(path)
        photo = None if member is None else open_photo(self._reader.read(member), max_pixels, path)
        if photo is None or photo.photo_id != photo_id:
            raise PhotoError(f"{path}: is not there any more, or has changed since it was aligned")
        return photo

    def close(self) -> None:
        """Close what is open."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
