"""Files whose pixels are sound but whose metadata stop Pillow."""

from __future__ import annotations

import dataclasses
import re
import struct
import zlib

__all__ = ["Mended", "mend"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"}  # what pixels and orientation need
_PIECE = 1 << 20  # bytes that are unpacked at once
_MAX_PROFILE = 16 << 20  # bytes
# The box that lists an AVIF's EXIF among its parts (ItemInfoEntry of ISO 14496-12): its version, flags, the number of
# the part in 2 or 4 bytes, a number that is 0, and what the part is.
_EXIF_ENTRY = re.compile(rb"(infe(?:\x02.{5}|\x03.{7})..)Exif", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Mended:
    """A picture without the metadata that stop Pillow.

    Attributes:
        data: the file.
        profile: the ICC profile of a PNG, for which Pillow allows a megabyte only; None if it cannot be read.
    """

    data: bytes
    profile: bytes | None


def mend(data: bytes) -> Mended | None:
    """Return a file without what may stop Pillow; None where nothing can be taken away."""
    if data.startswith(_SIGNATURE):
        mended = _mend_png(data)
        return mended if mended is not None and mended.data != data else None
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        # The pixels and their orientation (boxes irot and imir) do not need EXIF: it becomes a part of no known kind.
        hidden = _EXIF_ENTRY.sub(rb"\1free", data)
        return Mended(hidden, None) if hidden != data else None
    return None


def _mend_png(data: bytes) -> Mended | None:
    """Reduce a PNG to what its pixels, colours and orientation need; return None if its pixels are damaged.

    Texts that unfold to megabytes and chunks with a wrong checksum are dropped. A wrong checksum of the pixels is
    mended if the one inside the compressed pixels shows that these are whole.
    """
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
