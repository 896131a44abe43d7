"""Colour spaces that a file names without a profile: Adobe RGB in a camera's EXIF, gamma and primaries of a PNG."""

from __future__ import annotations

import struct

import numpy as np
from PIL import ExifTags, Image

__all__ = ["declared_profile"]

_D50 = np.array([0.9642, 1.0, 0.8249])  # the white of ICC's connection space, XYZ
# Chromaticities (x, y) of white (D65), red, green and blue: of sRGB (IEC 61966-2-1) and of Adobe RGB (1998).
_SRGB = np.array([[0.3127, 0.3290], [0.64, 0.33], [0.30, 0.60], [0.15, 0.06]])
_ADOBE = np.array([[0.3127, 0.3290], [0.64, 0.33], [0.21, 0.71], [0.15, 0.06]])
_ADOBE_GAMMA = 563 / 256
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_USUAL = 0.05  # relative deviation from 1 / 2.2 up to which a PNG's gamma means sRGB's own curve
_INTEROP, _INDEX = ExifTags.IFD.Interop, 1


def declared_profile(file: Image.Image) -> bytes | None:
    """Return an ICC profile of the colour space that an opened file names by other means; None if it is sRGB.

    DCF cameras mark Adobe RGB by "R03" in EXIF's interoperability directory. In a PNG gAMA and cHRM count, unless it
    says sRGB.
    """
    if _is_adobe(file):
        return _profile(_ADOBE_GAMMA, _ADOBE)
    gamma, primaries = file.info.get("gamma"), file.info.get("chromaticity")
    if file.format != "PNG" or "srgb" in file.info or not (gamma or primaries):
        return None
    usual = not gamma or abs(gamma * 2.2 - 1) <= _USUAL
    given = _SRGB if primaries is None else np.reshape(primaries, (4, 2))
    if (usual and np.allclose(given, _SRGB, atol=0.002)) or not _is_sound(given) or (gamma and not 0.1 <= gamma <= 10):
        return None
    return _profile(2.2 if usual or not gamma else 1 / gamma, given)


def _is_adobe(file: Image.Image) -> bool:
    try:
        return str(file.getexif().get_ifd(_INTEROP).get(_INDEX, "")).startswith("R03")
    except Exception:  # odd metadata make Pillow raise all kinds of errors
        return False


def _is_sound(chromaticities: np.ndarray) -> bool:
    """Return whether the values can be chromaticities of a colour space."""
    area = np.linalg.det(np.column_stack([chromaticities[1:], np.ones(3)]))
    return bool((chromaticities[:, 1] > 0.001).all() and (chromaticities < 2).all() and abs(area) > 0.01)


def _profile(gamma: float, chromaticities: np.ndarray) -> bytes:
    """Return an ICC profile (version 2) of RGB with a power as tone curve.

    Args:
        gamma: light is value ** gamma.
        chromaticities: [4, 2], x and y of white, red, green and blue.
    """
    white, *primaries = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in chromaticities)
    matrix = np.column_stack(primaries)
    matrix = matrix * np.linalg.solve(matrix, white)  # so that equal parts give the white
    # Adapted to D50 by Bradford's cone responses.
    scale = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    matrix = np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD @ matrix
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">L", 9) + b"declared\0" + bytes(78),
        b"wtpt": _xyz(_D50),
    }
    for name, column in zip(b"rgb", matrix.T, strict=True):
        tags[bytes([name]) + b"XYZ"] = _xyz(column)
        tags[bytes([name]) + b"TRC"] = b"curv\0\0\0\0" + struct.pack(">LHH", 1, round(gamma * 256), 0)
    start, table, body = 128 + 4 + 12 * len(tags), struct.pack(">L", len(tags)), b""
    for tag, value in tags.items():
        table += tag + struct.pack(">LL", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = struct.pack(">L4sL4s4s4s", start + len(body), b"lcms", 0x02200000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + _xyz(_D50)[8:]
    return header.ljust(128, b"\0") + table + body


def _xyz(values: np.ndarray) -> bytes:
    """Return an ICC tag of three fixed-point numbers."""
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">l", round(value * 65536)) for value in values)
