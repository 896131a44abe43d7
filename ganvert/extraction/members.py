"""A picture of an input as plain data, and the reader that gives a worker its bytes."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from pathlib import Path
from typing import Self

from ganvert.base.errors import InputError, PhotoError
from ganvert.base.registry import lookup
from ganvert.extraction.sources import SOURCES, Source, content_id, fetch, stamp_of

__all__ = ["Member", "Reader"]


@dataclasses.dataclass(frozen=True)
class Member:
    """One picture, wherever it lies; plain data, so that it travels to workers as JSON.

    Attributes:
        input: absolute path of the folder, file, archive, table or list that holds it.
        kind: the input's kind, a name in `SOURCES`.
        path: what rows call it, e.g. `photos/a.jpg`, `faces.zip!a.jpg`, `faces.parquet!17`; valid Unicode.
        locator: how the source finds it again.
        photo_id: its :func:`content_id`, 64 hex digits; sha256 of "unreadable:" and the path if it cannot be read.
        image_id: of rows of an aligned table; None elsewhere.
        status: ok, or unreadable when it could not be read as it was listed.
        reason: why; empty when ok.
    """

    input: str
    kind: str
    path: str
    locator: str
    photo_id: str
    image_id: str | None = None
    status: str = "ok"
    reason: str = ""


class Reader:
    """Reads members, and keeps the sources that were used last open. One for a thread."""

    OPEN = 4

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, str, str], Source] = OrderedDict()

    def read(self, member: Member) -> bytes:
        """Return a member's bytes, after checking that they are those that were listed.

        Raises:
            PhotoError: it cannot be read, or has changed.
            InputError: this machine does not have the source, or it is damaged as a whole.
        """
        if member.status != "ok":
            raise PhotoError(member.reason)
        source = self._source(member.kind, member.input)
        try:
            data = fetch(source, member.locator)
        except PhotoError as error:
            if not Path(source.mount()).exists():
                raise InputError(f"{source.mount()}: not on this machine; make it reachable under this path") from error
            raise PhotoError(f"{member.path}: {error}") from error
        if content_id(data, member.image_id) != member.photo_id:
            raise PhotoError(f"{member.path}: has changed since it was listed; run again")
        return data

    def _source(self, kind: str, path: str) -> Source:
        source = lookup(SOURCES, kind, "source kind")(path)
        key = kind, path, _stamp(source)
        if key not in self._open:
            self._open[key] = source
        self._open.move_to_end(key)
        while len(self._open) > self.OPEN:
            self._open.popitem(last=False)[1].close()
        return self._open[key]

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stamp(source: Source) -> str:
    """Return the stamp of an archive or table, so that one that was replaced is opened anew; "" for other sources."""
    if not source.whole:
        return ""
    try:
        return stamp_of(source.path, 0)[0]
    except (OSError, PhotoError):
        return ""  # reading it says what is wrong
