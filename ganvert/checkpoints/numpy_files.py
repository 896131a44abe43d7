"""Files of numpy, ``.npy`` and ``.npz``, read as data. An array of one object, numpy's way to keep a dict, is read too.

The layout is that of ``numpy/lib/format.py``. ``numpy.load`` runs what the pickle of an object array says; here it goes
through :class:`~ganvert.checkpoints.unpickle.Machine`.
"""

from __future__ import annotations

import ast
import io
import re
import zipfile
from typing import Any

import numpy as np

from ganvert.checkpoints.names import NUMPY_FILES
from ganvert.checkpoints.unpickle import Budget, Machine, Refusal, brief

__all__ = ["NPY", "read_npy", "read_npz"]

NPY = b"\x93NUMPY"
MAX_HEADER = 10_000  # bytes, numpy's own limit
MAX_MEMBERS = 1000  # of an archive
MAX_UNPACKED = 1 << 30  # bytes of an archive's members together
_NUMBERS = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")


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
            _NUMBERS.fullmatch(descr)
        ):
            return _numbers(body, np.dtype(descr), shape, fortran)
    raise Refusal(f"an array of {brief(header.get('descr'))} of shape {header.get('shape')}: only numbers are read")


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = ast.literal_eval(text.decode("utf-8").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise Refusal("its header is damaged") from error
    if not isinstance(header, dict):
        raise Refusal("its header is damaged")
    return header


def _numbers(body: memoryview, dtype: np.dtype, shape: tuple[Any, ...], fortran: bool) -> np.ndarray:
    if len(shape) > 16 or any(type(size) is not int or not 0 <= size < 2**48 for size in shape):
        raise Refusal("its shape is not a tuple of sizes")
    count = 1
    for size in shape:
        count *= size
    if count * dtype.itemsize != len(body) or not count:
        raise Refusal(f"an array of {count} {dtype} numbers has {len(body)} bytes")
    return np.frombuffer(body, dtype).reshape(shape, order="F" if fortran else "C")


def read_npz(data: memoryview, budget: Budget) -> dict[str, Any]:
    """Return the arrays of a .npz file by name; arguments and errors as in :func:`read_npy`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNPACKED:
                raise Refusal(f"an archive of {len(members)} members, or of more than {MAX_UNPACKED >> 20} MB")
            arrays: dict[str, Any] = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name == member.filename or name in arrays:
                    raise Refusal(f"the archive has a member {brief(member.filename)}; wanted arrays, NAME.npy")
                with archive.open(member) as file:
                    # One byte more than declared would be a member that lies about its size.
                    body = file.read(member.file_size + 1)
                if len(body) != member.file_size:
                    raise Refusal(f"the member {brief(name)} has another size than the archive says")
                arrays[name] = read_npy(memoryview(bytearray(body)), budget)
            return arrays
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise Refusal(f"a damaged archive: {error}") from error
