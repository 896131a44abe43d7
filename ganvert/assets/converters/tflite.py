"""Read a TFLite model, which is a flatbuffer, as data: its operators and constants; nothing of it is executed.

A flatbuffer is little endian. A table begins with the distance back to its vtable; a vtable holds its own size, the
table's size, and for each field where it lies in the table (0: it is absent and has its default). Strings, vectors and
tables are stored as the distance forward to them; a vector begins with its length. Numbers of fields and operators are
those of TensorFlow's `schema.fbs`, version 3.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganvert.base.errors import CheckpointError

__all__ = ["Operator", "leading_to", "read_tflite"]

MAX_BYTES = 64 << 20
MAX_ITEMS = 1 << 14  # of a vector of tables or of numbers; constants are bounded by the file
_IDENTIFIER = b"TFL3"
_FLOAT32 = 0  # of TensorType
_SAME = 0  # of Padding
#: The BuiltinOperators that are known here; others keep their number.
_KINDS = {
    0: "add",
    2: "concat",
    3: "conv",
    4: "depthwise",
    9: "dense",
    18: "mul",
    19: "relu",
    21: "relu6",
    22: "reshape",
    23: "bilinear",
    28: "tanh",
    32: "custom",
    41: "sub",
    69: "tile",
    97: "nearest",
    98: "leaky",
    101: "abs",
}


@dataclass(frozen=True)
class Operator:
    """One operation of the graph.

    Attributes:
        kind: such as ``conv``.
        inputs: numbers of its tensors.
        outputs: likewise.
        constants: those of the inputs that are float32 constants, in order: of convolutions the kernel, in TFLite's
            order OHWI (1HWC for a depthwise one), and the bias.
        stride: of a convolution, vertical and horizontal; (0, 0) of others.
        same: of a convolution, whether it is padded so that stride 1 keeps the size.
        slope: of a leaky ReLU, for negative numbers; 0 of others.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: tuple[np.ndarray, ...]
    stride: tuple[int, int] = (0, 0)
    same: bool = False
    slope: float = 0.0


def read_tflite(data: bytes, where: str) -> list[Operator]:
    """Return the operators of a model's first graph, in the order of execution; others set variables up.

    Raises:
        CheckpointError: not a TFLite model, damaged, or too large.
    """
    if len(data) > MAX_BYTES:
        raise CheckpointError(f"{where}: {len(data)} bytes, more than the {MAX_BYTES} that are read")
    if data[4:8] != _IDENTIFIER:
        raise CheckpointError(f"{where}: not a TFLite model: bytes 4 to 7 are {data[4:8]!r}, wanted {_IDENTIFIER!r}")
    try:
        return _operators(_Table(data, _number(data, "I", 0)))
    except _DamagedError as error:
        raise CheckpointError(f"{where}: damaged or cut: {error}") from error


def leading_to(result: Operator, operators: Sequence[Operator]) -> list[Operator]:
    """Return the operators that a result is made by, itself the last, each after those that make its inputs.

    Inputs are followed in their order, so that the same network gives the same list wherever a converter put parts of
    it that do not depend on each other.
    """
    makers = {output: operator for operator in operators for output in operator.outputs}
    ordered: list[Operator] = []
    seen = {id(result)}
    pending = [(result, iter(result.inputs))]  # a stack, not recursion: graphs of files can be deep
    while pending:
        operator, inputs = pending[-1]
        maker = next((makers[i] for i in inputs if i in makers and id(makers[i]) not in seen), None)
        if maker is None:
            ordered.append(operator)
            pending.pop()
        else:
            seen.add(id(maker))
            pending.append((maker, iter(maker.inputs)))
    return ordered


def _operators(model: _Table) -> list[Operator]:
    codes = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
    graphs = model.tables(2)
    if not graphs:
        raise _DamagedError("it has no graph")
    constants = _constants(graphs[0].tables(0), model.tables(4))
    operators = []
    for operator in graphs[0].tables(3):
        code = codes[_index(operator.number(0, "I"), codes, "operator code")]
        kind = _KINDS.get(code, str(code))
        inputs, outputs = operator.numbers(1), operator.numbers(2)
        # -1 stands for an optional input that is absent.
        given = tuple(constants[i] for i in inputs if i in constants)
        options = operator.table(4) if kind in ("conv", "depthwise", "leaky") else None
        if options is None:
            operators.append(Operator(kind, inputs, outputs, given))
        elif kind == "leaky":
            operators.append(Operator(kind, inputs, outputs, given, slope=options.real(0)))
        else:
            stride = options.number(2, "i"), options.number(1, "i")
            operators.append(Operator(kind, inputs, outputs, given, stride, options.number(0, "b") == _SAME))
    return operators


def _constants(tensors: list[_Table], buffers: list[_Table]) -> dict[int, np.ndarray]:
    """Return the float32 tensors whose numbers stand in the file, by their number."""
    constants = {}
    for i, tensor in enumerate(tensors):
        content = buffers[_index(tensor.number(2, "I"), buffers, "buffer")].bytes(0)
        if tensor.number(1, "b") != _FLOAT32 or not content:
            continue  # a result of an operator, or a shape
        shape = tensor.numbers(0)
        # Python's integers: NumPy's would overflow, and then agree with a short buffer.
        count = 1
        for size in shape:
            count *= size
        if min(shape, default=1) < 1 or 4 * count != len(content):
            raise _DamagedError(f"tensor {i}: {len(content)} bytes for float32 numbers of shape {list(shape)}")
        array = np.frombuffer(content, "<f4").reshape(shape)
        if not np.isfinite(array).all():
            raise _DamagedError(f"tensor {i} holds numbers that are not finite")
        constants[i] = array
    return constants


class _DamagedError(Exception):
    """Something in the file contradicts the rest of it."""


class _Table:
    """A table of a flatbuffer; fields are read by their number, and every position is checked."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position
        self.vtable = position - _number(data, "i", position)
        self.vtable_size = _number(data, "H", self.vtable)

    def _field(self, number: int) -> int | None:
        entry = 4 + 2 * number
        if entry + 2 > self.vtable_size:
            return None
        offset = _number(self.data, "H", self.vtable + entry)
        return self.position + offset if offset else None

    def number(self, field: int, form: str) -> int:
        """Return a number; 0 if it is absent."""
        position = self._field(field)
        return 0 if position is None else _number(self.data, form, position)

    def real(self, field: int) -> float:
        """Return a float32; 0 if it is absent."""
        (value,) = struct.unpack("<f", struct.pack("<I", self.number(field, "I")))
        return float(value)

    def table(self, field: int) -> _Table | None:
        """Return a table; None if it is absent."""
        position = self._field(field)
        return None if position is None else _Table(self.data, position + _number(self.data, "I", position))

    def _vector(self, field: int, size: int, most: int) -> tuple[int, int]:
        """Return where a vector's items begin, and how many there are."""
        position = self._field(field)
        if position is None:
            return 0, 0
        start = position + _number(self.data, "I", position)
        count = _number(self.data, "I", start)
        if count > most or start + 4 + count * size > len(self.data):
            raise _DamagedError(f"a vector of {count} items at byte {start}")
        return start + 4, count

    def bytes(self, field: int) -> memoryview:
        """Return a vector of bytes; empty if it is absent."""
        start, count = self._vector(field, 1, len(self.data))
        return memoryview(self.data)[start : start + count]

    def numbers(self, field: int) -> tuple[int, ...]:
        """Return a vector of int32; empty if it is absent."""
        start, count = self._vector(field, 4, MAX_ITEMS)
        return struct.unpack_from(f"<{count}i", self.data, start)

    def tables(self, field: int) -> list[_Table]:
        """Return a vector of tables; empty if it is absent."""
        start, count = self._vector(field, 4, MAX_ITEMS)
        places = range(start, start + 4 * count, 4)
        return [_Table(self.data, place + _number(self.data, "I", place)) for place in places]


def _number(data: bytes, form: str, position: int) -> int:
    if position < 0 or position + struct.calcsize(form) > len(data):
        raise _DamagedError(f"it points to byte {position} of {len(data)}")
    return int(struct.unpack_from("<" + form, data, position)[0])


def _index(number: int, items: list[int] | list[_Table], what: str) -> int:
    if number >= len(items):
        raise _DamagedError(f"{what} {number} of {len(items)}")
    return number
