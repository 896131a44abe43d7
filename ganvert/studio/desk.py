"""What lies on a user's desk beside the photograph in work: a comparison, other people, a folder, a stimulus set."""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ganvert.base.errors import InputError
from ganvert.base.files import file_names, temporary_prefix
from ganvert.editing.stimuli import Presentation
from ganvert.editing.stimulus_set import Series
from ganvert.studio.models import Face, Found, Opened

__all__ = ["MOST_FILES", "MOST_FOLDER", "Cell", "Compared", "Folder", "People", "Person", "Stage", "StimulusSet"]

#: Of a folder of photographs: files, and their bytes.
MOST_FILES, MOST_FOLDER = 1000, 1 << 30


@dataclasses.dataclass(frozen=True)
class Stage:
    """Two pictures that the divider lies between in place of the edit's.

    Attributes:
        left: name of a picture, and what it is called.
        right: the same.
    """

    left: tuple[str, str]
    right: tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Compared:
    """Two pictures side by side.

    Attributes:
        sides: how both are called.
        difference: name of the difference map.
        rows: name, value of both, and which one is better (-1 the first, 1 the second, 0 neither).
        between: the same metrics of one picture and the other.
    """

    sides: tuple[str, str]
    difference: str
    rows: Sequence[tuple[str, float | None, float | None, int]]
    between: Mapping[str, float | None]


@dataclasses.dataclass
class Person:
    """Another photograph, of which one face is used, and what was found of it by method."""

    opened: Opened
    found: dict[str, Found] = dataclasses.field(default_factory=dict)

    @property
    def face(self) -> Face:
        """The largest face."""
        return self.opened.faces[0]

    @property
    def held(self) -> int:
        """Memory that it takes [bytes]."""
        return self.opened.held + sum(found.held for found in self.found.values())


@dataclasses.dataclass
class People:
    """Other photographs, by what they are for.

    Attributes:
        known: ``second``, the other person; ``after``, the same photograph with something changed on it.
        result: the picture that was made of both people, its title, and what its metadata say of how it was made.
    """

    known: dict[str, Person] = dataclasses.field(default_factory=dict)
    result: tuple[Image.Image, str, Mapping[str, str]] | None = None


class Folder:
    """Photographs on their way through the extraction, and what comes of them, in a temporary folder."""

    def __init__(self) -> None:
        self._place: Path | None = None
        self._bytes = 0

    @property
    def place(self) -> Path:
        """The temporary folder, made when it is first asked for."""
        if self._place is None:
            self._place = Path(tempfile.mkdtemp(prefix=temporary_prefix("ganvert-studio")))
        return self._place

    @property
    def files(self) -> list[Path]:
        """The photographs that are in it."""
        return sorted((self._place / "photos").iterdir()) if self._place and (self._place / "photos").exists() else []

    def add(self, name: str, data: bytes) -> None:
        """Take a photograph, or an archive of photographs.

        Raises:
            InputError: there are too many, or they are too large together.
        """
        names = [path.name for path in self.files]
        if len(names) >= MOST_FILES or self._bytes + len(data) > MOST_FOLDER:
            raise InputError(
                f"{name}: wanted at most {MOST_FILES} files of {MOST_FOLDER >> 30} GB together; "
                "`ganvert extract` takes any number of photographs"
            )
        plain = re.fullmatch(r"(.+)(\.[A-Za-z0-9]{1,8})", name.replace("\\", "/").rpartition("/")[2], re.DOTALL)
        stem, suffix = (plain[1], plain[2]) if plain else (name, "")
        own = file_names([*(Path(known).stem for known in names), stem])[-1]
        (self.place / "photos").mkdir(exist_ok=True)
        (self.place / "photos" / (own + suffix)).write_bytes(data)
        self._bytes += len(data)

    def delete(self) -> None:
        """Delete the folder; another one is made when it is asked for."""
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)
        self._place, self._bytes = None, 0


@dataclasses.dataclass
class Cell:
    """A picture of a stimulus set.

    Attributes:
        row: of stimuli.csv.
        thumb: name of the small picture on the page.
        kept: whether it is exported.
    """

    row: dict[str, Any]
    thumb: str
    kept: bool


@dataclasses.dataclass
class StimulusSet:
    """Stimuli as they are made.

    Attributes:
        series: of every direction.
        presentation: how pictures are shown.
        command: the command line that does the same.
        total: number of pictures when it is complete.
        cells: those that are done.
        table: the codes that they are of; None before they are found.
    """

    series: Sequence[Series]
    presentation: Presentation
    command: str
    total: int
    cells: list[Cell] = dataclasses.field(default_factory=list)
    table: Path | None = None
