"""Torch's storages and tensors as views into a file, and its older container: pickles followed by raw numbers.

The layout follows ``torch/serialization.py`` (``_legacy_save``, ``persistent_id``) and ``torch/_utils.py``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvert.checkpoints.unpickle import Budget, Global, Machine, Names, Refusal, brief

__all__ = ["STORAGES", "Storage", "is_torch_stream", "make_tensor", "read_torch_stream", "stored"]

MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
VERSION = 1001  # torch.serialization.PROTOCOL_VERSION
MAX_DIMS = 16
_TENSOR_COST = 20  # steps; a tensor takes about as much memory as that many small objects

#: storage class -> dtype
_DTYPES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
#: the only names that a stream of one storage needs
STORAGES: Names = {("torch", name): None for name in _DTYPES} | {("torch.storage", "UntypedStorage"): None}


class Storage:
    """Numbers that tensors share; `values` is None until their position in the file is known."""

    __slots__ = ("dtype", "numel", "values")

    def __init__(self, dtype: torch.dtype, numel: int) -> None:
        self.dtype, self.numel = dtype, numel
        self.values: Tensor | None = None

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.numel * self.dtype.itemsize

    def fill(self, data: memoryview, swapped: bool = False) -> None:
        """Point to the file's bytes; they are copied only if their byte order has to be swapped."""
        if len(data) != self.size:
            raise Refusal(f"a storage of {self.numel} {self.dtype} numbers has {len(data)} bytes")
        if swapped and self.numel:
            data = np.frombuffer(data, f"u{self.dtype.itemsize}").byteswap().data.cast("B")
        self.values = torch.frombuffer(data, dtype=self.dtype) if self.numel else torch.empty(0, dtype=self.dtype)


def stored(known: dict[str, Storage], kind: object, key: object, numel: object) -> Storage:
    """Return the storage of a persistent id: a new one, or the known one of this key if it is of the same kind."""
    if not isinstance(kind, Global) or kind.name not in _DTYPES:
        raise Refusal(f"a storage of type {brief(kind)}")
    if not isinstance(key, str) or type(numel) is not int or numel < 0:
        raise Refusal(f"a storage with the key {brief(key)} and {brief(numel)} elements")
    storage = known.setdefault(key, Storage(_DTYPES[kind.name], numel))
    if (storage.dtype, storage.numel) != (_DTYPES[kind.name], numel):
        raise Refusal(f"storage {brief(key)} is first one thing and then another")
    return storage


def _counts(value: object, what: str) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > MAX_DIMS:
        raise Refusal(f"the {what} of a tensor is {brief(value)}")
    for number in value:
        if type(number) is not int or not 0 <= number < 2**63:
            raise Refusal(f"{brief(number)} in the {what} of a tensor")
    return value


def make_tensor(machine: Machine, storage: object, offset: object, size: object, stride: object) -> Tensor:
    """Return a view of a storage that lies within it and has no more elements than it.

    All arguments but the first come from the stream and may be anything. Strides are honoured, as channels-last weights
    need them; but strides of zero, which make a huge tensor of one number, are refused through the number of elements.

    Args:
        machine: its budget is charged.
        storage: the storage.
        offset: of the first element, in elements.
        size: of each dimension.
        stride: of each dimension, in elements.

    Raises:
        Refusal: the view would leave the storage, or an argument is of the wrong kind.
    """
    machine.budget.spend(_TENSOR_COST)
    if not isinstance(storage, Storage):
        raise Refusal(f"a tensor of {brief(storage)}, no storage")
    (start,), sizes, strides = _counts((offset,), "offset"), _counts(size, "size"), _counts(stride, "stride")
    if len(sizes) != len(strides):
        raise Refusal(f"a tensor of {len(sizes)} dimensions and {len(strides)} strides")
    count = math.prod(sizes)
    last = start + sum((n - 1) * step for n, step in zip(sizes, strides)) if count else start - 1
    if count > storage.numel or last >= storage.numel or math.prod(n or 1 for n in sizes) >= 2**48:
        raise Refusal(f"a tensor of {count} elements, the last at {last}, over a storage of {storage.numel}")
    if storage.values is None:  # in the first of two runs, see read_torch_stream
        return torch.empty(0)
    return storage.values.as_strided(sizes, strides, start) if count else storage.values.new_empty(sizes)


def is_torch_stream(data: memoryview) -> bool:
    """Return whether the data begin with the pickle of torch's magic number."""
    try:
        return Machine(data[:64], {}, budget=Budget(8)).run() == MAGIC
    except ValueError:
        return False


def _header(data: memoryview, position: int, budget: Budget) -> tuple[Any, int]:
    machine = Machine(data, {}, budget=budget, position=position)
    return machine.run(), machine.position


def read_torch_stream(data: memoryview, names: Names, budget: Budget) -> Any:
    """Read the object of a stream in torch's older container.

    The stream has the pickle of the object first, then a list of storages, then their numbers. So the pickle is run
    twice: first to learn the sizes of its storages, then, when these are filled, to make tensors of them.

    Args:
        data: the whole stream, writable.
        names: the globals that its object may name.
        budget: of the file.

    Raises:
        Refusal: the stream is damaged, or asks for something that is not allowed.
    """
    magic, position = _header(data, 0, budget)
    version, position = _header(data, position, budget)
    system, start = _header(data, position, budget)
    if type(magic) is not int or magic != MAGIC or type(version) is not int or version != VERSION:
        raise Refusal("not torch's magic number and version")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refusal("a torch stream that is not little-endian")
    storages: dict[str, Storage] = {}

    def storage_of(pid: object) -> Storage:
        match pid:
            case (str("storage"), kind, key, str(), numel, None):
                return stored(storages, kind, key, numel)
        raise Refusal(f"a persistent id ({brief(pid)}) that is not a whole storage")

    machine = Machine(data, names, storage_of, budget, start)
    machine.run()
    keys, position = _header(data, machine.position, budget)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise Refusal("the list of storages is not the one that the object uses")
    if len(set(keys)) != len(keys):
        raise Refusal("a storage is listed twice")
    for key in keys:
        end = position + 8 + storages[key].size
        if end > len(data) or int.from_bytes(data[position : position + 8], "little") != storages[key].numel:
            raise Refusal(f"storage {brief(key)} is cut short or of another size than {storages[key].numel}")
        storages[key].fill(data[position + 8 : end])
        position = end
    if position != len(data):
        raise Refusal(f"{len(data) - position} bytes follow the last storage")
    return Machine(data, names, storage_of, budget, start).run()
