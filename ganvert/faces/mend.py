"""PNG files whose pixels are sound but whose metadata stop Pillow."""

from __future__ import annotations

import dataclasses
import struct
import zlib

__all__ = ["Mended", "mend_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"}  # what pixels and orientation need
_PIECE = 1 << 20  # bytes that are unpacked at once
_MAX_PROFILE = 16 << 20  # bytes


@dataclasses.dataclass(frozen=True)
class Mended:
    """A PNG without the rest of its metadata.

    Attributes:
        data: the file.
        profile: the ICC profile of the original, for which Pillow allows a megabyte only; None if it cannot be read.
    """

    data: bytes
    profile: bytes | None


def mend_png(data: bytes) -> Mended | None:
    """Reduce a PNG to what its pixels, colours and orientation need; return None if its pixels are damaged.

    Texts that unfold to megabytes and chunks with a wrong checksum are dropped. A wrong checksum of the pixels is
    mended if the one inside the compressed pixels shows that these are whole.
    """
    if not data.startswith(_SIGNATURE):
        return None
    kept, profile = [_SIGNATURE], None
    inflate, position, kind = zlib.decompressobj(), len(_SIGNATURE), b""
    try:
        while kind != b"IEND":
            length, kind = struct.unpack_from(">L4s", data, position)
            body = data[position + 8 : position + 8 + length]
            (checksum,) = struct.unpack_from(">L", data, position + 8 + length)
            position += 12 + length
            intact = zlib.crc32(kind + body) == checksum
            if kind == b"IDAT":
                _run_through(inflate, body)
            elif not intact:
                if kind[0] & 0x20 == 0:  # upper case: the pixels depend on it
                    return None
                continue
            if kind in _KEPT:
                kept.append(struct.pack(">L", length) + kind + body + struct.pack(">L", zlib.crc32(kind + body)))
            elif kind == b"iCCP":
                profile = _profile(body)
    except (struct.error, zlib.error):
        return None
    return Mended(b"".join(kept), profile) if inflate.eof else None


def _run_through(inflate: zlib._Decompress, body: bytes) -> None:
    """Unpack the next bytes for the sake of the checksum at their end."""
    unpacked = _PIECE
    while not inflate.eof and (body or unpacked == _PIECE):
        unpacked = len(inflate.decompress(body, _PIECE))
        body = inflate.unconsumed_tail


def _profile(body: bytes) -> bytes | None:
    """Return the profile in an iCCP chunk: a name, a zero, the method (0) and packed bytes."""
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(body.partition(b"\0")[2][1:], _MAX_PROFILE)
    except zlib.error:
        return None
    return profile if inflate.eof else None
