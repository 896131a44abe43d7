"""A machine that reads pickle streams and has no way to execute anything in them.

A pickle is a program for a stack machine. Three of its instructions make it dangerous: GLOBAL imports a name, REDUCE
(and NEWOBJ) calls it, BUILD hands it state. Here GLOBAL pushes an inert token (:class:`Global`) and imports nothing;
REDUCE looks the token up in the caller's table of functions (:mod:`ganvert.checkpoints.names`), all of which make plain
data; BUILD only fills in :class:`~ganvert.checkpoints.base.Instance`, a record, and our unfinished arrays. There is no
path from a stream to ``import``, ``getattr`` or a call of anything that is not in that table.

The opcodes are those of Python's ``pickletools`` (protocols 0 to 5). Python's own unpickler with a restricted
``find_class`` is not enough: it allocates what a stream claims (memo indices, lengths) before it reads, resolves dotted
names, and hands state to whatever was named. Here every length is compared with the bytes that are left before anything
is allocated, and what a stream can make is bounded and linear in its length.
"""

from __future__ import annotations

import codecs
import dataclasses
import struct
from collections.abc import Callable, Mapping
from typing import Any

from ganvert.checkpoints.base import Instance

__all__ = ["Budget", "Global", "Machine", "Maker", "Names", "Refusal", "Unfinished", "brief", "hashable"]

MAX_STEPS = 2_000_000  # opcodes of one file; the largest known generators need about 50,000
MAX_LONG = 64  # bytes of a binary integer, digits of a decimal number (int() takes quadratic time)
MAX_NAME = 256  # bytes of a module's or a class's name
HIGHEST_PROTOCOL = 5

#: (module, name) -> function that stands in for calling it; None: it may be named, but not called
Maker = Callable[["Machine", tuple[Any, ...]], Any]
Names = Mapping[tuple[str, str], Maker | None]


class Refusal(ValueError):
    """The stream asks for something that is not allowed; the reader of the file adds which file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Global:
    """A name in a stream; nothing is imported for it."""

    module: str
    name: str

    def __repr__(self) -> str:
        return f"<{self.module}.{self.name}>"


class Unfinished:
    """A value that BUILD completes: the stream may memoise it before it can be made."""

    __slots__ = ("memo_keys",)

    def __init__(self) -> None:
        self.memo_keys: list[int] = []

    def build(self, state: Any) -> Any:
        """Return the finished value."""
        raise NotImplementedError


@dataclasses.dataclass
class Budget:
    """Number of objects that one file may still make; shared by the streams inside it."""

    steps: int = MAX_STEPS

    def spend(self, steps: int) -> None:
        """Subtract `steps`, or raise Refusal if fewer are left."""
        self.steps -= steps
        if self.steps < 0:
            raise Refusal(f"it makes more than the {MAX_STEPS} objects that are read")


def brief(value: object) -> str:
    """Describe a value for an error message, without its content, which may be endless."""
    if value is None or isinstance(value, Global | bool | float):
        return repr(value)
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else "a huge int"
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else value[:77] + "...")
    return f"a {type(value).__name__}"


class Machine:
    """Reads one pickle.

    Args:
        data: holds the stream; writable if tensors are to be views of it.
        names: the globals that it may name.
        persistent: makes the object of a persistent id; None refuses them.
        budget: of the whole file.
        position: where the stream begins; after `run`, where it ended.
    """

    def __init__(
        self,
        data: memoryview,
        names: Names,
        persistent: Callable[[Any], Any] | None = None,
        budget: Budget | None = None,
        position: int = 0,
    ) -> None:
        self.data, self.names, self.persistent, self.position = data, names, persistent, position
        self.budget = budget or Budget()
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}  # not a list, in which one large index would allocate everything below it
        #: id of bytes or text -> (this source, what was made of it); keeping the source alive keeps its id unique
        self.made: dict[int, tuple[Any, Any]] = {}

    def run(self) -> Any:
        """Read the stream and return its value."""
        while True:
            self.budget.spend(1)
            at, code = self.position, self.take(1)[0]
            if code == _STOP:
                return self.pop()
            operation = _OPCODES.get(code)
            if operation is None:
                raise Refusal(f"opcode 0x{code:02x} at byte {at} is not read")
            operation(self)

    def once(self, source: Any, make: Callable[[], Any]) -> Any:
        """Return the result of `make` for this object, computed once: a stream cannot multiply copies of it."""
        if id(source) not in self.made:
            self.made[id(source)] = (source, make())
        return self.made[id(source)][1]

    # --- the stream ---------------------------------------------------------------------------------------------------

    def take(self, count: int) -> memoryview:
        """Return the next bytes as a view."""
        start, end = self.position, self.position + count
        if count < 0 or end > len(self.data):
            raise Refusal(f"cut short: {count} bytes wanted at byte {start}, {len(self.data) - start} are left")
        self.position = end
        return self.data[start:end]

    def number(self, layout: struct.Struct) -> Any:
        """Return the next number of a binary layout."""
        return layout.unpack(self.take(layout.size))[0]

    def line(self, limit: int | None = None) -> bytes:
        """Return the bytes up to the next newline; the search takes time by the line's length, not the file's."""
        start, width = self.position, 128
        while (end := (piece := bytes(self.data[start : start + width])).find(b"\n")) < 0:
            if len(piece) < width or (limit is not None and width > limit):
                raise Refusal(f"the line at byte {start} does not end, or not soon enough")
            width *= 4
        if limit is not None and end > limit:
            raise Refusal(f"the line at byte {start} has {end} bytes; up to {limit} are read")
        self.position += end + 1
        return piece[:end]

    # --- the stack ----------------------------------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise Refusal(f"an opcode before byte {self.position} finds nothing on the stack")
        return self.stack.pop()

    @property
    def top(self) -> Any:
        if not self.stack:
            raise Refusal(f"an opcode before byte {self.position} finds nothing on the stack")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        if not self.marks:
            raise Refusal(f"an opcode before byte {self.position} finds no mark on the stack")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def remember(self, key: int) -> None:
        value = self.top
        if isinstance(value, Unfinished):
            value.memo_keys.append(key)
        self.memo[key] = value

    def recall(self, key: int) -> None:
        if key not in self.memo:
            raise Refusal(f"nothing was kept under {key}")
        self.push(self.memo[key])

    # --- names and calls ----------------------------------------------------------------------------------------------

    def name(self, module: object, name: object) -> None:
        """Push the token of an allowed name; nothing is imported."""
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in self.names:
            raise Refusal(f"it asks for {brief(module)} {brief(name)}, which is not on the list of allowed names")
        self.push(Global(module, name))

    def call(self, function: object, args: object) -> None:
        """Push the result of the function that stands in for calling a name. The only call that a stream can cause."""
        if not isinstance(function, Global):
            raise Refusal(f"it calls {brief(function)}, no name")
        make = self.names[function.module, function.name]
        if make is None or not isinstance(args, tuple):
            raise Refusal(f"it calls {function} with {brief(args)}")
        try:
            self.push(make(self, args))
        except Refusal as error:
            raise Refusal(f"{function.module}.{function.name}: {error}") from error

    def build(self) -> None:
        """Give a state to the value on top of the stack: a record keeps it, an unfinished value becomes whole."""
        state, target = self.pop(), self.top
        if isinstance(target, Instance):
            target.state = state
        elif isinstance(target, Unfinished):
            value = target.build(state)
            # Memoised before it was whole: later references must get the finished value.
            for key in target.memo_keys:
                if self.memo.get(key) is target:
                    self.memo[key] = value
            target.memo_keys.clear()
            self.stack[-1] = value
        elif type(target) is not dict:  # a dict's state is its attributes (torch's `_metadata`), which are not needed
            raise Refusal(f"it gives a state to {brief(target)}")


# --- opcodes ---------------------------------------------------------------------------------------------------------

_STOP = 0x2E
_U1, _U2, _U4, _U8 = (struct.Struct(layout) for layout in ("<B", "<H", "<I", "<Q"))
_I4, _F8 = struct.Struct("<i"), struct.Struct(">d")


def hashable(key: object) -> Any:
    """Return a key that hashes quickly; nested tuples recurse in C, and large ints can be chosen to collide."""
    if key is None or isinstance(key, str | bytes | float) or (isinstance(key, int) and key.bit_length() <= 64):
        return key
    raise Refusal(f"{brief(key)} is a key or member of a set")


def _protocol(m: Machine) -> None:
    version = m.number(_U1)
    if version > HIGHEST_PROTOCOL:
        raise Refusal(f"pickle protocol {version}; 0 to {HIGHEST_PROTOCOL} are read")


def _frame(m: Machine) -> None:
    length = m.number(_U8)
    if length > len(m.data) - m.position:
        raise Refusal(f"cut short: a frame of {length} bytes, {len(m.data) - m.position} are left")


def _digits(line: bytes) -> int:
    """Parse a bounded decimal integer, without the underscores and spaces that int() accepts."""
    if len(line) > MAX_LONG or not line.removeprefix(b"-").isdigit():
        raise Refusal("a number that is none, or too long")
    return int(line)


def _index(m: Machine) -> int:
    """Parse an index of the memo; larger numbers could be chosen to collide in the dict."""
    index = _digits(m.line(MAX_LONG))
    if not 0 <= index < 2**32:
        raise Refusal(f"{brief(index)} for a place in the memo")
    return index


def _int(m: Machine) -> None:
    line = m.line(MAX_LONG)
    m.push({b"00": False, b"01": True}[line] if line in (b"00", b"01") else _digits(line))


def _long(m: Machine) -> None:
    m.push(_digits(m.line(MAX_LONG + 1).removesuffix(b"L")))


def _binary_long(m: Machine, length: int) -> None:
    if not 0 <= length <= MAX_LONG:
        raise Refusal(f"an integer of {length} bytes")
    m.push(int.from_bytes(m.take(length), "little", signed=True))


def _quoted(m: Machine) -> None:
    line = m.line()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise Refusal("a string without quotes")
    m.push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))  # type: ignore[attr-defined]


def _text(m: Machine, length: int) -> None:
    m.push(str(m.take(length), "utf-8"))


def _old_text(m: Machine, length: int) -> None:
    m.push(str(m.take(length), "latin-1"))


def _tuple(m: Machine, length: int) -> None:
    if len(m.stack) < length:
        raise Refusal("a tuple of more than the stack holds")
    items = tuple(m.stack[-length:])
    del m.stack[-length:]
    m.push(items)


def _append(m: Machine, items: list[Any]) -> None:
    if type(m.top) is not list:
        raise Refusal(f"it appends to {brief(m.top)}")
    m.top.extend(items)


def _add(m: Machine) -> None:
    items = m.pop_mark()
    if type(m.top) is not set:
        raise Refusal(f"it adds to {brief(m.top)}")
    m.top.update(map(hashable, items))


def _set(m: Machine, items: list[Any]) -> None:
    if type(m.top) is not dict or len(items) % 2:
        raise Refusal(f"it sets {len(items)} keys and values of {brief(m.top)}")
    m.top.update(zip(map(hashable, items[::2]), items[1::2], strict=True))


def _pair(m: Machine) -> list[Any]:
    value, key = m.pop(), m.pop()
    return [key, value]


def _dict(m: Machine) -> None:
    items = m.pop_mark()
    m.push({})
    _set(m, items)


def _pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.pop_mark()


def _mark(m: Machine) -> None:
    m.marks.append(m.stack)
    m.stack = []


def _persistent(m: Machine) -> None:
    if m.persistent is None:
        raise Refusal("it asks for an object outside of it")
    m.push(m.persistent(m.pop()))


def _global(m: Machine) -> None:
    module, name = m.line(MAX_NAME), m.line(MAX_NAME)
    m.name(module.decode(), name.decode())


def _stack_global(m: Machine) -> None:
    name, module = m.pop(), m.pop()
    m.name(module, name)


def _reduce(m: Machine) -> None:
    args, function = m.pop(), m.pop()
    m.call(function, args)


def _newobj_ex(m: Machine) -> None:
    keywords, args, cls = m.pop(), m.pop(), m.pop()
    if type(keywords) is not dict or keywords:
        raise Refusal(f"it calls {brief(cls)} with keywords")
    m.call(cls, args)


#: All opcodes that are read. Absent, so refused: OBJ and INST (calls in another form), PERSID, EXT1/2/4 (names in
#: another form), NEXT_BUFFER and READONLY_BUFFER (bytes from outside the stream).
_OPCODES: dict[int, Callable[[Machine], None]] = {
    ord(code): operation
    for code, operation in {
        "\x80": _protocol,
        "\x95": _frame,
        # constants
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "I": _int,
        "L": _long,
        "F": lambda m: m.push(float(m.line(MAX_LONG))),
        "J": lambda m: m.push(m.number(_I4)),
        "K": lambda m: m.push(m.number(_U1)),
        "M": lambda m: m.push(m.number(_U2)),
        "G": lambda m: m.push(m.number(_F8)),
        "\x8a": lambda m: _binary_long(m, m.number(_U1)),
        "\x8b": lambda m: _binary_long(m, m.number(_I4)),
        # texts and bytes; long bytes stay views into the file
        "S": _quoted,
        "V": lambda m: m.push(m.line().decode("raw-unicode-escape")),
        "T": lambda m: _old_text(m, m.number(_I4)),
        "U": lambda m: _old_text(m, m.number(_U1)),
        "\x8c": lambda m: _text(m, m.number(_U1)),
        "X": lambda m: _text(m, m.number(_U4)),
        "\x8d": lambda m: _text(m, m.number(_U8)),
        "C": lambda m: m.push(bytes(m.take(m.number(_U1)))),
        "B": lambda m: m.push(m.take(m.number(_U4))),
        "\x8e": lambda m: m.push(m.take(m.number(_U8))),
        "\x96": lambda m: m.push(m.take(m.number(_U8))),
        # containers
        ")": lambda m: m.push(()),
        "]": lambda m: m.push([]),
        "}": lambda m: m.push({}),
        "\x8f": lambda m: m.push(set()),
        "t": lambda m: m.push(tuple(m.pop_mark())),
        "\x85": lambda m: _tuple(m, 1),
        "\x86": lambda m: _tuple(m, 2),
        "\x87": lambda m: _tuple(m, 3),
        "l": lambda m: m.push(m.pop_mark()),
        "d": _dict,
        "\x91": lambda m: m.push(frozenset(map(hashable, m.pop_mark()))),
        "a": lambda m: _append(m, [m.pop()]),
        "e": lambda m: _append(m, m.pop_mark()),
        "s": lambda m: _set(m, _pair(m)),
        "u": lambda m: _set(m, m.pop_mark()),
        "\x90": _add,
        # stack and memo
        "(": _mark,
        "0": _pop,
        "1": lambda m: m.pop_mark() and None,
        "2": lambda m: m.push(m.top),
        "p": lambda m: m.remember(_index(m)),
        "q": lambda m: m.remember(m.number(_U1)),
        "r": lambda m: m.remember(m.number(_U4)),
        "\x94": lambda m: m.remember(len(m.memo)),
        "g": lambda m: m.recall(_index(m)),
        "h": lambda m: m.recall(m.number(_U1)),
        "j": lambda m: m.recall(m.number(_U4)),
        # names, calls, state
        "c": _global,
        "\x93": _stack_global,
        "R": _reduce,
        "\x81": _reduce,
        "\x92": _newobj_ex,
        "b": Machine.build,
        "Q": _persistent,
    }.items()
}
