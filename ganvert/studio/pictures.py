"""What the pages of a studio show and download, by names that cannot be guessed."""

from __future__ import annotations

import io
import secrets
import threading
from collections import OrderedDict
from pathlib import Path

from PIL import Image

__all__ = ["MOST_BYTES", "MOST_PICTURES", "Pictures", "memory_of"]

_PIXEL = {"L": 1, "P": 1, "1": 1}  # bytes of a pixel; Pillow gives those of other modes four
#: Of a session.
MOST_PICTURES, MOST_BYTES = 1000, 256 << 20


class Pictures:
    """Pictures and other files by names of 128 random bits: whoever was not given a name cannot ask for one."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, bytes | Path]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, kind: str, data: bytes | Path) -> str:
        """Keep a picture, or the place of a file; return its name. The oldest ones of too many are forgotten."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[name] = kind, data
            self._bytes += _size(data)
            while len(self._kept) > MOST_PICTURES or (self._bytes > MOST_BYTES and len(self._kept) > 1):
                self._bytes -= _size(self._kept.popitem(last=False)[1][1])
        return name

    def show(self, picture: Image.Image, px: int | None = None) -> str:
        """Keep a picture as JPEG, of `px` a side at most; return its name."""
        shown = picture.convert("RGB")
        if px is not None and max(shown.size) > px:
            shown.thumbnail((px, px), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        shown.save(buffer, "JPEG", quality=90)
        return self.add("image/jpeg", buffer.getvalue())

    @property
    def held(self) -> int:
        """Memory that they take [bytes]."""
        return self._bytes

    def has(self, name: str) -> bool:
        """Return whether there is a picture of that name; it then counts as the newest one."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return True
            return False

    def kept(self, name: str | None) -> str | None:
        """Return the name where there is a picture of it (:meth:`has`), else None."""
        return name if name is not None and self.has(name) else None

    def get(self, name: str) -> tuple[str, bytes | Path] | None:
        """Return the media type and the bytes of a picture, or its place, None where there is none of that name."""
        with self._lock:
            return self._kept.get(name)


def memory_of(*pictures: Image.Image) -> int:
    """Return the memory that pictures take [bytes]."""
    return sum(picture.width * picture.height * _PIXEL.get(picture.mode, 4) for picture in pictures)


def _size(data: bytes | Path) -> int:
    return len(data) if isinstance(data, bytes) else 0
