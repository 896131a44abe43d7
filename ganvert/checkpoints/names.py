"""The globals that a checkpoint's pickle may name, and our functions that stand in for calling them.

A pickle builds objects by calling whatever it names, so it can call anything that Python can import. Here a name is a
key into the tables at the end of this module, and a call of it runs one of the functions below, which make data only:
dicts, arrays, tensors, :class:`~ganvert.checkpoints.base.Instance`. Names match exactly, module and name, because
protocol 4 would resolve ``os.system`` through any module that imports ``os``.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from torch import Tensor

from ganvert.checkpoints.base import Instance
from ganvert.checkpoints.torch_stream import STORAGES, Storage, make_tensor, read_torch_stream
from ganvert.checkpoints.unpickle import Global, Machine, Maker, Names, Refusal, Unfinished, brief, hashable

__all__ = ["ARRAYS", "CHECKPOINTS", "NUMBERS", "NUMPY_FILES", "view_of"]

#: Codes of numpy's numeric types: those of arrays that are read.
NUMBERS = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")
_BYTES = (bytes, memoryview)


# --- Python's own ----------------------------------------------------------------------------------------------------


def _inert(kind: str) -> Maker:
    return lambda _machine, args: Instance(kind, args)


def _items(machine: Machine, args: tuple[Any, ...]) -> Any:
    """Return the sequence that a container is made of; its length counts, as a stream can request many copies."""
    match args:
        case ():
            return ()
        case (list() | tuple() | set() | frozenset() | dict() as items,):
            machine.budget.spend(len(items))
            return items
    raise Refusal(f"made of {len(args)} values, the first {brief(args[0])}")


def _dict(machine: Machine, args: tuple[Any, ...]) -> dict[Any, Any]:
    items = _items(machine, args)
    pairs = items.items() if isinstance(items, dict) else items
    made = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Refusal(f"a dict of {brief(pair)}")
        made[hashable(pair[0])] = pair[1]
    return made


def _default_dict(machine: Machine, args: tuple[Any, ...]) -> dict[Any, Any]:
    if args and not (args[0] is None or isinstance(args[0], Global)):
        raise Refusal(f"a default made by {brief(args[0])}")
    return _dict(machine, args[1:])


def _bytes(machine: Machine, args: tuple[Any, ...]) -> Any:
    match args:
        case ():
            return b""
        case (bytes() | memoryview() as data,):
            return data
        case (str(), str()):
            return _encode(machine, args)
    raise Refusal(f"bytes of {len(args)} values")


def _encode(machine: Machine, args: tuple[Any, ...]) -> memoryview:
    """Return bytes as protocol 2 writes them: a text of the characters 0 to 255."""
    match args:
        case (str() as text, str("latin1" | "latin-1")):
            return machine.once(text, lambda: memoryview(bytearray(text, "latin-1")))
    raise Refusal("an encoding other than latin1")


def _reconstruct_object(machine: Machine, args: tuple[Any, ...]) -> Any:
    """Make an object of a class on the list in the way of protocols 0 and 1."""
    match args:
        case (Global() as cls, Global(name="object"), None):
            machine.call(cls, ())
        case (Global() as cls, Global(name="dict"), dict() as content):
            machine.call(cls, (content,))
        case _:
            raise Refusal("not an object, nor a dict")
    return machine.pop()


# --- numpy -----------------------------------------------------------------------------------------------------------


class _DType(Unfinished):
    """A numeric type whose byte order is still to come."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        super().__init__()
        self.code = code

    def build(self, state: Any) -> np.dtype:
        match state:
            case (int(), str("<" | ">" | "=" | "|") as order, None, None, None, *_):
                return np.dtype(order + self.code)
        raise Refusal("a type of array elements with fields, or damaged")


class _Objects(Unfinished):
    """The element type of an array of any objects, whose state says nothing."""

    __slots__ = ()

    def build(self, state: Any) -> np.dtype:
        del state
        return np.dtype(object)


class _Array(Unfinished):
    """An array whose shape and numbers are still to come."""

    __slots__ = ()

    def build(self, state: Any) -> Any:
        match state:
            case (int(1), (), np.dtype(kind="O"), _, [value]):  # one object: it needs no array around it
                return value
            case (int(1), tuple() as shape, np.dtype() as dtype, int() as fortran, data):
                return view_of(_raw(data), dtype, shape, "F" if fortran else "C")
        raise Refusal("an array that is not numbers, or damaged")


def _raw(data: object) -> bytes | memoryview:
    if isinstance(data, _BYTES):
        return data
    raise Refusal(f"{brief(data)} for bytes")


def view_of(data: bytes | memoryview, dtype: np.dtype, shape: tuple[Any, ...], order: str) -> np.ndarray:
    """Return bytes of a file as an array, without a copy; a shape from a file may be anything.

    Raises:
        Refusal: the shape is none, or does not have as many numbers as there are bytes for.
    """
    if any(type(n) is not int or not 0 <= n < 2**48 for n in shape) or len(shape) > 16:
        raise Refusal("an array's shape is not a tuple of sizes")
    # The second condition bounds the strides of empty arrays, whose other dimensions could overflow.
    if math.prod(shape) * dtype.itemsize != len(data) or math.prod(n or 1 for n in shape) >= 2**48:
        raise Refusal(f"an array of {math.prod(shape)} {dtype} numbers has {len(data)} bytes")
    numbers = np.frombuffer(data, dtype) if len(data) else np.empty(0, dtype)
    return numbers.reshape(shape, order="F" if order == "F" else "C")


def _dtype(_machine: Machine, args: tuple[Any, ...]) -> _DType:
    match args:
        case (str() as code, *_) if match := NUMBERS.fullmatch(code):  # no object arrays: those hold anything
            return _DType(match[1])
    raise Refusal(f"arrays of {brief(args[0]) if args else 'nothing'}; only numbers are read")


def _dtype_or_object(machine: Machine, args: tuple[Any, ...]) -> Unfinished:
    match args:
        case (str("O" | "O8" | "|O" | "|O8"), *_):
            return _Objects()
    return _dtype(machine, args)


def _scalar(_machine: Machine, args: tuple[Any, ...]) -> Any:
    match args:
        case (np.dtype() as dtype, data) if len(_raw(data)) == dtype.itemsize:
            return np.frombuffer(data, dtype)[0].item()
    raise Refusal("not one number")


def _new_array(_machine: Machine, args: tuple[Any, ...]) -> _Array:
    match args:
        case (Global("numpy", "ndarray"), (int(0),), _):
            return _Array()
    raise Refusal("not an empty array to be filled")


def _from_buffer(_machine: Machine, args: tuple[Any, ...]) -> np.ndarray:
    match args:
        case (data, np.dtype() as dtype, tuple() as shape, str("C" | "F") as order):
            return view_of(_raw(data), dtype, shape, order)
    raise Refusal("not an array of numbers")


# --- torch -----------------------------------------------------------------------------------------------------------


def _load_storage(machine: Machine, args: tuple[Any, ...]) -> Storage:
    """Read a storage that lies inside a pickle as a torch stream of its own.

    ``torch.storage._load_from_bytes`` unpickles those bytes without restrictions, so allowing the original would allow
    everything. Here the inner stream may name nothing but storage types.
    """
    match args:
        case (memoryview() | bytes() as source,):
            # torch.frombuffer wants writable memory.
            data = source if isinstance(source, memoryview) else memoryview(bytearray(source))
            storage = machine.once(source, lambda: read_torch_stream(data, STORAGES, machine.budget))
            if isinstance(storage, Storage):
                return storage
    raise Refusal("not the bytes of a storage")


def _tensor(machine: Machine, args: tuple[Any, ...]) -> Tensor:
    if len(args) < 4:
        raise Refusal(f"a tensor of {len(args)} values")
    return make_tensor(machine, *args[:4])


def _parameter(_machine: Machine, args: tuple[Any, ...]) -> Tensor:
    match args:
        case (Tensor() as tensor, *_):
            return tensor
    raise Refusal("a parameter that is not a tensor")


def _size(machine: Machine, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_items(machine, args))


# --- the lists -------------------------------------------------------------------------------------------------------


def _under(modules: tuple[str, ...], makers: dict[str, Maker | None]) -> dict[tuple[str, str], Maker | None]:
    return {(module, name): make for module in modules for name, make in makers.items()}


def _instances(module: str, *names: str) -> dict[tuple[str, str], Maker | None]:
    return {(module, name): _inert(f"{module}.{name}") for name in names}


#: numpy's arrays and scalars, in the spellings of numpy 1 and 2
ARRAYS: Names = {
    **_under(("numpy.core.multiarray", "numpy._core.multiarray"), {"_reconstruct": _new_array, "scalar": _scalar}),
    **_under(("numpy.core.numeric", "numpy._core.numeric"), {"_frombuffer": _from_buffer}),
    **_under(("numpy",), {"dtype": _dtype, "ndarray": None}),
    **_under(("_codecs",), {"encode": _encode}),
}

#: Everything that files of known generators name. None as a maker: it may be named, but not called.
CHECKPOINTS: Names = {
    **ARRAYS,
    **STORAGES,
    **_under(
        ("builtins", "__builtin__"),
        {
            "set": lambda machine, args: set(map(hashable, _items(machine, args))),
            "frozenset": lambda machine, args: frozenset(map(hashable, _items(machine, args))),
            "list": lambda machine, args: list(_items(machine, args)),
            "tuple": lambda machine, args: tuple(_items(machine, args)),
            "dict": _dict,
            "bytes": _bytes,
            "bytearray": _bytes,
            **dict.fromkeys(("object", "int", "float", "str", "bool"), None),
        },
    ),
    **_under(("copyreg", "copy_reg"), {"_reconstructor": _reconstruct_object}),
    **_under(("collections",), {"OrderedDict": _dict, "defaultdict": _default_dict}),
    **_under(("dnnlib.util", "dnnlib", "easydict"), {"EasyDict": _dict}),
    **_under(
        ("torch._utils",),
        {
            "_rebuild_tensor": _tensor,
            "_rebuild_tensor_v2": _tensor,
            "_rebuild_parameter": _parameter,
            "_rebuild_parameter_with_state": _parameter,
        },
    ),
    **_under(("torch.storage",), {"_load_from_bytes": _load_storage, "TypedStorage": None}),
    **_under(("torch",), {"Size": _size}),
    **_under(
        ("torch",),
        dict.fromkeys(
            ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"), None
        ),
    ),
    **_instances("torch", "device"),
    **_instances("torch_utils.persistence", "_reconstruct_persistent_obj"),
    **_instances("dnnlib.tflib.network", "Network"),
    **_instances("argparse", "Namespace"),
    **_instances("pathlib", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
    **_instances("pathlib._local", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
    **_instances("torch.nn.modules.container", "Sequential", "ModuleList", "ModuleDict", "ParameterList"),
}

#: The same for files of numpy, which keep a dict as an array of one object.
NUMPY_FILES: Names = {**CHECKPOINTS, **_under(("numpy",), {"dtype": _dtype_or_object})}
