"""Files of numpy, ``.npy`` and ``.npz``, read as data. An array of one object, numpy's way to keep a dict, is read too.

The layout is that of ``numpy/lib/format.py``. ``numpy.load`` runs what the pickle of an object array says; here it goes
through :class:`~ganvert.checkpoints.unpickle.Machine`.
"""

from __future__ import annotations

import ast
import io
import zipfile
from typing import Any

import numpy as np

from ganvert.checkpoints.names import NUMBERS, NUMPY_FILES, view_of
from ganvert.checkpoints.unpickle import Budget, Machine, Refusal, brief

__all__ = ["NPY", "read_npy", "read_npz"]

NPY = b"\x93NUMPY"
MAX_HEADER = 10_000  # bytes, numpy's own limit
MAX_MEMBERS = 1000  # of an archive
_ENTRY = b"PK\x01\x02"  # starts an entry of its directory
MAX_UNPACKED = 1 << 30  # bytes of an archive's members together
# numpy's own. They are also those that `zipfile` stops unpacking at the promised size: a few bytes of bzip2 may unfold
# to gigabytes first.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_npy(data: memoryview, budget: Budget) -> Any:
    """Return the array of a .npy file; the object itself for an array of one object.

    Args:
        data: the file, writable if the array is to be.
        budget: of objects that a pickle in it may make.

    Raises:
        Refusal: the file is damaged, too long, or asks for something that is not allowed.
    """
    if bytes(data[:6]) != NPY or len(data) < 12 or data[6] not in (1, 2, 3):
        raise Refusal("it does not begin as numpy's files do")
    width = 2 if data[6] == 1 else 4  # version 1.0 counts the header's bytes with two bytes, later ones with four
    length, start = int.from_bytes(data[8 : 8 + width], "little"), 8 + width
    if length > min(MAX_HEADER, len(data) - start):
        raise Refusal(f"a header of {length} bytes")
    header = _header(bytes(data[start : start + length]))
    body = data[start + length :]
    match header:
        case {"descr": str("|O" | "O"), "shape": ()}:
            machine = Machine(body, NUMPY_FILES, budget=budget)
            return machine.run()
        case {"descr": str() as descr, "shape": tuple() as shape, "fortran_order": bool() as fortran} if (
            NUMBERS.fullmatch(descr)
        ):
            if not body:
                raise Refusal("an array without numbers")
            return view_of(body, np.dtype(descr), shape, "F" if fortran else "C")
    raise Refusal(f"an array of {brief(header.get('descr'))} of shape {header.get('shape')}: only numbers are read")


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = ast.literal_eval(text.decode("utf-8").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise Refusal("its header is damaged") from error
    if not isinstance(header, dict):
        raise Refusal("its header is damaged")
    return header


def read_npz(data: memoryview, budget: Budget) -> dict[str, Any]:
    """Return the arrays of a .npz file by name; arguments and errors as in :func:`read_npy`."""
    whole = bytes(data)
    # `zipfile` makes an object of every entry of the directory before the first one can be looked at.
    if (entries := whole.count(_ENTRY)) > MAX_MEMBERS:
        raise Refusal(f"an archive of {entries} members")
    try:
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNPACKED:
                raise Refusal(f"an archive of {len(members)} members, or of more than {MAX_UNPACKED >> 20} MB")
            arrays: dict[str, Any] = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name == member.filename or name in arrays:
                    raise Refusal(f"the archive has a member {brief(member.filename)}; wanted arrays, NAME.npy")
                if member.compress_type not in _METHODS:
                    raise Refusal(
                        f"the member {brief(name)} is packed by method {member.compress_type}; numpy stores or deflates"
                    )
                with archive.open(member) as file:
                    # One byte more than declared would be a member that lies about its size.
                    body = file.read(member.file_size + 1)
                if len(body) != member.file_size:
                    raise Refusal(f"the member {brief(name)} has another size than the archive says")
                arrays[name] = read_npy(memoryview(bytearray(body)), budget)
            return arrays
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise Refusal(f"a damaged archive: {error}") from error
