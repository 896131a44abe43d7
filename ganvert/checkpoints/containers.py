"""Reading any checkpoint file as data; its first bytes show which kind of container it is."""

from __future__ import annotations

import dataclasses
import itertools
import mmap
import struct
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ganvert.base.errors import CheckpointError, GanvertError
from ganvert.base.files import kind_of_file
from ganvert.checkpoints.base import Content
from ganvert.checkpoints.names import CHECKPOINTS
from ganvert.checkpoints.numpy_files import NPY, read_npy, read_npz
from ganvert.checkpoints.torch_stream import Storage, is_torch_stream, read_torch_stream, stored
from ganvert.checkpoints.unpickle import Budget, Machine, Refusal, brief

__all__ = ["MAX_BYTES", "read_content"]

MAX_BYTES = 4 << 30  # the largest published generators, with discriminator and optimisers, have about 1 GiB
MAX_OTHER = 64 << 20  # bytes of a file that begins as none of the kinds: pickles of protocol 0 begin in many ways
MAX_HEADER = 16 << 20  # bytes of a safetensors header
MAX_MEMBERS = 100_000  # of an archive; torch writes one for every storage
_ZIP = b"PK\x03\x04"


def read_content(path: Path | str) -> Content:
    """Read a safetensors file, a file of torch (archive or older stream) or numpy, or a pickle; it is not executed.

    Tensors and arrays are views of one copy of the file in memory; long bytes are memoryviews of it.

    Raises:
        CheckpointError: missing, too large, damaged, or it names something that is not on the list of allowed names.
    """
    path = Path(path)
    try:
        return _read(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file; run `ganvert fetch` or give another path") from error
    except GanvertError:
        raise
    except Exception as error:  # a hostile or truncated file can raise anything
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"{path}: refused as a checkpoint: {reason}") from error


def _read(path: Path) -> Content:
    if not path.is_file() and path.exists():
        raise Refusal("it is not a regular file")
    with path.open("rb") as handle:
        size = path.stat().st_size
        if not 0 < size <= MAX_BYTES:
            raise Refusal(f"it has {size} bytes; 1 to {MAX_BYTES} are read")
        head = handle.read(9)
        # A picture or a page is named as what it is; numpy's files are among those that are read.
        if not head.startswith(NPY) and (kind := kind_of_file(path)):
            raise Refusal(f"it is {kind}")
        if _is_safetensors(head, size):
            return _read_safetensors(path, size, head)
        # The last is the first byte of pickles since protocol 2.
        if size > MAX_OTHER and not head.startswith((_ZIP, NPY, b"\x80")):
            raise Refusal("it begins neither as a safetensors file, nor as one of torch or numpy, nor as a pickle")
        data = memoryview(mmap.mmap(-1, size))  # memory of its own; a bytearray would be written full of zeros first
        data[: len(head)] = head
        if handle.readinto(data[len(head) :]) != size - len(head):
            raise Refusal("it became shorter while it was read")
    budget = Budget()  # shared by all pickles of the file
    if head.startswith(NPY):
        return Content("npy", read_npy(data, budget), {}, size)
    if head.startswith(_ZIP):
        if _is_npz(data):
            return Content("npz", read_npz(data, budget), {}, size)
        return Content("torch_zip", _read_archive(data, budget), {}, size)
    if is_torch_stream(data):
        return Content("torch_legacy", read_torch_stream(data, CHECKPOINTS, budget), {}, size)
    return Content("pickle", Machine(data, CHECKPOINTS, budget=budget).run(), {}, size)


def _is_npz(data: memoryview) -> bool:
    """Return whether the first member of an archive is an array; torch's are in a folder and never called so."""
    name = int.from_bytes(data[26:28], "little")
    return bytes(data[30 : 30 + name]).endswith(b".npy")


# --- safetensors -----------------------------------------------------------------------------------------------------


def _is_safetensors(head: bytes, size: int) -> bool:
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def _read_safetensors(path: Path, size: int, head: bytes) -> Content:
    """Read with the library, which checks the header against the file; only the header's size is bounded here."""
    if (header := int.from_bytes(head[:8], "little")) > MAX_HEADER:
        raise Refusal(f"a safetensors header of {header} bytes; up to {MAX_HEADER} are read")
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return Content("safetensors", tensors, dict(file.metadata() or {}), size)


# --- torch's archive -------------------------------------------------------------------------------------------------
# Layout: APPNOTE.TXT of PKWARE, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 4.3.16 (its end).
# Python's zipfile is not used: it creates an object for every entry that the directory claims before any check.

_LOCAL = struct.Struct("<4s5H3I2H")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_TOP16, _TOP32 = 0xFFFF, 0xFFFFFFFF  # placeholders: the real value is in the 64-bit part


@dataclasses.dataclass(frozen=True)
class _Member:
    start: int  # of its local header
    data: int  # of its bytes
    end: int


def _read_archive(data: memoryview, budget: Budget) -> Any:
    members = _members(data)
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refusal(f"an archive with {len(pickles)} data.pkl; torch writes one")
    folder = pickles[0].removesuffix("data.pkl")

    def record(name: str) -> memoryview:
        if folder + name not in members:
            raise Refusal(f"the archive has no {brief(folder + name)}")
        member = members[folder + name]
        return data[member.data : member.end]

    order = bytes(record("byteorder")[:16]) if folder + "byteorder" in members else b"little"  # absent in older files
    if order not in (b"little", b"big"):
        raise Refusal("its byte order is neither little nor big")
    storages: dict[str, Storage] = {}

    def storage_of(pid: object) -> Storage:
        match pid:
            case (str("storage"), kind, key, str(), numel):
                storage = stored(storages, kind, key, numel)
                if storage.values is None:
                    storage.fill(record(f"data/{key}"), swapped=order == b"big")
                return storage
        raise Refusal(f"a persistent id ({brief(pid)}) that is not a storage")

    return Machine(record("data.pkl"), CHECKPOINTS, storage_of, budget).run()


def _unpack(layout: struct.Struct, data: memoryview, position: int, signature: bytes, what: str) -> tuple[Any, ...]:
    if not 0 <= position <= len(data) - layout.size:
        raise Refusal(f"the archive's {what} lies outside of it")
    actual, *values = layout.unpack_from(data, position)
    if actual != signature:
        raise Refusal(f"the archive's {what} is damaged")
    return tuple(values)


def _directory(data: memoryview) -> tuple[int, int, int]:
    """Return the number of entries, the size and the position of the directory."""
    # The end record is followed by a comment of up to 65,535 bytes, so it has to be searched for from the back.
    tail = bytes(data[-(_END.size + _TOP16) :])
    at = len(data) - len(tail) + tail.rfind(b"PK\x05\x06")
    disk, first, here, count, size, start, comment = _unpack(_END, data, at, b"PK\x05\x06", "end")
    if at + _END.size + comment != len(data):
        raise Refusal("something follows the end of the archive")
    if count == _TOP16 or _TOP32 in (size, start):
        _, at64, _ = _unpack(_LOCATOR, data, at - _LOCATOR.size, b"PK\x06\x07", "64-bit locator")
        _, _, _, disk, first, here, count, size, start = _unpack(_END64, data, at64, b"PK\x06\x06", "64-bit end")
        at = at64
    if disk or first or here != count or count > MAX_MEMBERS or start + size > at:
        raise Refusal(f"an archive of {count} members in several parts, with a directory of {size} bytes at {start}")
    return count, size, start


def _members(data: memoryview) -> dict[str, _Member]:
    """Return all members by name; each is whole, uncompressed, before the directory, and overlaps no other."""
    count, size, directory = _directory(data)
    position, members = directory, {}
    for _ in range(count):
        entry = _unpack(_ENTRY, data, position, b"PK\x01\x02", "directory")
        name, extra, comment = entry[9:12]
        text = bytes(data[position + _ENTRY.size : position + _ENTRY.size + name])
        following = position + _ENTRY.size + name + extra + comment
        if following > directory + size:
            raise Refusal("the archive's directory is cut short")
        fields = data[position + _ENTRY.size + name : position + _ENTRY.size + name + extra]
        if text.decode() in members:
            raise Refusal(f"the archive has two members {brief(text.decode())}")
        members[text.decode()] = _place(data, entry, text, fields, directory)
        position = following
    ordered = sorted(members.values(), key=lambda member: member.start)
    if any(member.end > following.start for member, following in itertools.pairwise(ordered)):
        raise Refusal("members of the archive overlap")
    return members


def _place(data: memoryview, entry: tuple[Any, ...], name: bytes, extra: memoryview, directory: int) -> _Member:
    _, _, flags, method, _, _, _, packed, size, *_, start = entry
    packed, size, start = _long_fields([size, packed, start], extra)
    if method != 0 or packed != size or flags & 1:
        raise Refusal(f"the member {brief(name.decode())} is compressed or encrypted; torch stores them as they are")
    local = _unpack(_LOCAL, data, start, _ZIP, "member header")
    begin = start + _LOCAL.size + local[8] + local[9]
    local_name = data[start + _LOCAL.size : start + _LOCAL.size + local[8]]
    if begin + size > directory or local_name != name:
        raise Refusal(f"the member {brief(name.decode())} reaches outside, or has two names")
    return _Member(start, begin, begin + size)


def _long_fields(values: list[int], extra: memoryview) -> tuple[int, int, int]:
    """Replace placeholders among size, packed size and start; returns packed size, size and start."""
    # Extra fields are (kind, length, data). Kind 1 holds, in this order, only the values that have a placeholder.
    position = 0
    while position + 4 <= len(extra) and _TOP32 in values:
        kind, length = struct.unpack_from("<2H", extra, position)
        field = extra[position + 4 : position + 4 + length]
        if kind == 1:
            wide = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            values = [next(wide, value) if value == _TOP32 else value for value in values]
            break
        position += 4 + length
    size, packed, start = values
    return packed, size, start
