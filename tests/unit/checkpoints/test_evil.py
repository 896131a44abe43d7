"""Hostile files: every one is refused with one clean error or is plain data, and nothing in them ever runs."""

from __future__ import annotations

import io
import itertools
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.containers import read_content

EVIL = Path(__file__).parents[2] / "golden" / "checkpoints" / "evil"
MARK = "PWNED.by.unpickle"
COMMAND = f"touch {MARK}"


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The payloads leave a file in the working directory."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / MARK).exists()


def refused(data: bytes, reason: str = "") -> None:
    Path("x.pkl").write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"x\.pkl: refused as a checkpoint: .*({reason})"):
        read_content("x.pkl")


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def stacked(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


@pytest.mark.parametrize("file", sorted(path.name for path in EVIL.iterdir() if path.suffix != ".npz"))
def test_golden(file: str) -> None:
    if file.startswith("E2"):
        assert read_content(EVIL / file).root["G_ema"].kind.startswith("torch_utils")
    else:
        with pytest.raises(CheckpointError, match=file):
            read_content(EVIL / file)


class Payload:
    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_calls_of_python(protocol: int) -> None:
    mark = Path(MARK)
    live = pickle.dumps(Payload(Path.touch, mark), protocol)
    pickle.loads(live)
    assert mark.exists()  # the payload is live
    mark.unlink()
    refused(live, "not on the list")
    for function, args in [(exec, ("open('x','w')",)), (getattr, ("", "join")), (eval, ("1",)), (__import__, ("os",))]:
        refused(pickle.dumps({"G_ema": Payload(function, *args)}, protocol), "not on the list")


NAMES = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("subprocess", "Popen"),
    ("builtins", "exec"),
    ("builtins", "eval"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("builtins", "type"),
    ("__builtin__", "apply"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
    ("copyreg", "__newobj__"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("torch", "load"),
    ("torch.serialization", "load"),
    ("torch.serialization", "os.system"),
    ("torch.hub", "load"),
    ("torch", "FloatStorage.from_file"),
    ("torch.storage", "_load_from_bytes.__globals__"),
    ("torch.storage", "io.open"),
    ("dnnlib.util", "os.system"),
    ("dnnlib.util", "EasyDict.__init__"),
    ("dnnlib.util", "call_func_by_name"),
    ("numpy", "load"),
    ("numpy", "ndarray.tofile"),
    ("numpy", "dtype.type"),
    ("numpy", "os.system"),
    ("numpy.core.multiarray", "os.system"),
    ("numpy.testing._private.utils", "runstring"),
    ("collections", "OrderedDict.fromkeys"),
    ("collections", "sys.modules"),
    ("argparse", "_sys.exit"),
    ("argparse", "FileType"),
    ("pathlib", "PosixPath.touch"),
    ("pathlib", "os.system"),
    ("_codecs", "decode"),
    ("codecs", "encode"),
    ("torch_utils.persistence", "_module_to_src"),
    ("torch_utils.persistence", ""),
    ("", "set"),
    ("builtins\x00", "set"),
    ("Builtins", "set"),
]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_names_that_are_not_on_the_list(module: str, name: str) -> None:
    args = text(COMMAND) + b"\x85"
    for ask in (named(module, name), stacked(module, name)):
        for call in (b"R", b"\x81", b"}\x92"):
            refused(ask + args + call + b".", "not on the list|finds nothing")
        refused(ask + b".", "not on the list")


def test_names_that_are_no_text() -> None:
    refused(b"K\x01K\x02\x93.", "not on the list")
    refused(b"]text\x93.", "")
    refused(named("builtins", "set") + text("pop") + b"\x93.", "not on the list")


@pytest.mark.parametrize(
    "stream",
    [
        b"(" + text(COMMAND) + b"ios\nsystem\n.",  # INST
        b"(" + text(COMMAND) + b"ibuiltins\nset\n.",
        b"(" + named("builtins", "set") + b"o.",  # OBJ
        b"\x82\x01.",  # EXT1, 2, 4
        b"\x83\x01\x00.",
        b"\x84\x01\x00\x00\x00.",
        b"P0\n.",  # PERSID
        b"\x97.",  # NEXT_BUFFER
        b"\x98.",
    ],
)
def test_opcodes_that_are_not_read(stream: bytes) -> None:
    refused(stream, "opcode 0x")


@pytest.mark.parametrize(
    "stream",
    [
        text("os.system") + text(COMMAND) + b"\x85R.",  # no name
        named("builtins", "int") + b")R.",  # a name that is not called
        named("torch", "FloatStorage") + b")R.",
        named("numpy", "ndarray") + b"K\x05\x85R.",
        named("builtins", "set") + b"]R.",  # arguments that are no tuple
        named("builtins", "set") + b")" + b"}" + text("a") + b"Ns\x92.",  # keywords
        named("builtins", "set") + b"}b.",  # BUILD on a name
        named("builtins", "set") + b"}" + text("__call__") + named("builtins", "list") + b"sb.",
        named("builtins", "set") + b")R}b.",
        b"](" + text("__class__") + b"Ntb.",
        named("collections", "defaultdict") + text("os.system") + b"\x85R.",
        named("copyreg", "_reconstructor") + named("builtins", "set") + named("builtins", "set") + b"N\x87R.",
        named("copyreg", "_reconstructor") * 2 + named("builtins", "object") + b"N\x87R.",
        named("_codecs", "encode") + text("00") + text("hex") + b"\x86R.",
        named("_codecs", "encode") + text("0") + text("utf-16") + b"\x86R.",
        named("torch._utils", "_rebuild_parameter") + text("x") + b"\x85R.",
        named("torch.storage", "_load_from_bytes") + text("x") + b"\x85R.",
        named("torch.storage", "_load_from_bytes") + b")R.",
        b"(" + text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu") + b"K\x04tQ.",
    ],
)
def test_calls_and_states_in_disguise(stream: bytes) -> None:
    refused(stream)


def test_attributes_of_a_namespace_are_data() -> None:
    state = b"}" + text("__class__") + named("builtins", "set") + b"s"
    Path("x.pkl").write_bytes(named("argparse", "Namespace") + b")\x81" + state + b"b.")
    found = read_content("x.pkl").root
    assert type(found).__name__ == "Instance" and list(found.state) == ["__class__"]


# --- numpy ------------------------------------------------------------------------------------------------------------


def dtype(code: str, order: str = "<") -> bytes:
    state = b"(K\x03" + text(order) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return named("numpy", "dtype") + b"(" + text(code) + b"\x89\x88tR" + state


def array(code: str, shape: bytes, data: bytes, version: int = 1) -> bytes:
    new = named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"
    return new + b"(" + number(version) + shape + dtype(code) + b"\x89C" + bytes([len(data)]) + data + b"tb."


def test_the_helper_makes_arrays() -> None:
    Path("x.pkl").write_bytes(array("f4", numbers(2, 2), bytes(16)))
    assert read_content("x.pkl").root.shape == (2, 2)


@pytest.mark.parametrize(
    "stream",
    [
        *(
            array(code, numbers(1), bytes(8))
            for code in ("O8", "O", "|O", "c8", "V8", "S8", "U2", "M8", "m8", "f16", "")
        ),
        array("f8", numbers(1), bytes(8), version=2),
        array("f8", numbers(2), bytes(8)),
        array("f8", numbers(2**61), bytes(8)),
        array("f8", numbers(-1), bytes(8)),
        array("f8", numbers(-1, -1), bytes(8)),
        array("f8", b"\x88\x85", bytes(8)),
        array("f8", b"K\x01", bytes(8)),
        array("f8", b"G\x3f\xf0\x00\x00\x00\x00\x00\x00\x85", bytes(8)),
        array("f8", numbers(0, 2**62, 2**62), b""),
        array("f8", numbers(*[1] * 40), bytes(8)),
        named("numpy", "dtype") + text("f8,O") + b"\x85R.",
        named("numpy", "dtype") + b")R.",
        named("numpy.core.multiarray", "scalar") + dtype("f4") + b"C\x03abc\x86R.",
        named("numpy.core.multiarray", "scalar") + text("f4") + b"C\x04abcd\x86R.",
        named("numpy._core.numeric", "_frombuffer") + b"(C\x04abcd" + dtype("f8") + b"K\x01\x85" + text("C") + b"tR.",
        named("numpy.core.multiarray", "_reconstruct") + named("builtins", "list") + b"K\x00\x85C\x01b\x87R.",
        named("numpy.core.multiarray", "_reconstruct")
        + named("numpy", "ndarray")
        + number(2**40)
        + b"\x85C\x01b\x87R.",
    ],
)
def test_arrays_that_are_none(stream: bytes) -> None:
    refused(stream)


# --- torch ------------------------------------------------------------------------------------------------------------

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
VERSION = b"\x80\x02M\xe9\x03."
SYSTEM = b"\x80\x02}" + text("little_endian") + b"\x88s."
KEYS = b"\x80\x02]" + text("0") + b"a."
DATA = (4).to_bytes(8, "little") + bytes(16)


def storage(kind: bytes = named("torch", "FloatStorage"), numel: int = 4, view: bytes = b"N", key: str = "0") -> bytes:
    return b"(" + text("storage") + kind + text(key) + text("cpu") + number(numel) + view + b"tQ"


def stream(root: bytes | None = None, head: bytes = MAGIC + VERSION + SYSTEM, tail: bytes = KEYS + DATA) -> bytes:
    return head + b"\x80\x02" + (storage() if root is None else root) + b"." + tail


def nested(inner: bytes) -> bytes:
    return named("torch.storage", "_load_from_bytes") + b"B" + struct.pack("<I", len(inner)) + inner + b"\x85R"


def tensor(offset: bytes, size: bytes, stride: bytes, source: bytes | None = None) -> bytes:
    inner = nested(stream()) if source is None else source
    return named("torch._utils", "_rebuild_tensor_v2") + b"(" + inner + offset + size + stride + b"\x89}tR."


def test_the_helpers_make_tensors() -> None:
    Path("x.pkl").write_bytes(tensor(number(1), numbers(3), numbers(1)))
    assert torch.equal(read_content("x.pkl").root, torch.zeros(3))
    Path("x.pkl").write_bytes(stream())
    assert read_content("x.pkl").container == "torch_legacy"


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        ((0,), (2**38,), (1,)),
        ((0,), (2**20, 2**20), (0, 0)),
        ((0,), (5,), (0,)),
        ((0,), (2**63,), (1,)),
        ((0,), (2**62, 4), (0, 0)),
        ((1,), (4,), (1,)),
        ((4,), (1,), (1,)),
        ((5,), (0,), (1,)),
        ((2**62,), (0,), (1,)),
        ((-1,), (1,), (1,)),
        ((0,), (-1,), (1,)),
        ((0,), (-2, -2), (1, 1)),
        ((0,), (2,), (-1,)),
        ((0,), (2,), (4,)),
        ((0,), (2,), (2**62,)),
        ((0,), (2, 2), (2**62, 2**62)),
        ((0,), (2,), ()),
        ((0,), (2,), (1, 1)),
        ((0,), (0, 2**62, 2**62), (1, 1, 1)),
        ((0,), (1,) * 17, (1,) * 17),
    ],
)
def test_tensors_beyond_their_storage(offset: tuple[int], size: tuple[int, ...], stride: tuple[int, ...]) -> None:
    refused(tensor(number(*offset), numbers(*size), numbers(*stride)), "over a storage|of a tensor|strides")


@pytest.mark.parametrize(
    "data",
    [
        tensor(b"\x88", numbers(1), numbers(1)),  # bools are no sizes
        tensor(number(0), b"\x88\x85", numbers(1)),
        tensor(number(0), b"](K\x01e", numbers(1)),
        tensor(number(0), b"N", numbers(1)),
        tensor(b"N", numbers(1), numbers(1)),
        tensor(number(0), numbers(1), numbers(1), b"N"),
        tensor(number(0), numbers(1), numbers(1), named("torch", "FloatStorage")),
        tensor(number(0), numbers(1), numbers(1), storage()),  # a persistent id outside of a torch file
        nested(stream()) + b"}b.",  # a state for a storage
        named("torch._utils", "_rebuild_tensor_v2") + nested(stream()) + b"\x85R.",
    ],
)
def test_tensors_of_other_things(data: bytes) -> None:
    refused(data)


SYSTEM_CALL = named("posix", "system") + text(COMMAND) + b"\x85R"


@pytest.mark.parametrize(
    "inner",
    [
        stream(SYSTEM_CALL),
        stream(nested(stream())),  # a stream in a stream in a stream
        stream(named("collections", "OrderedDict") + b")R"),
        stream(b"N", tail=b"\x80\x02].".ljust(5)),
        stream(named("torch", "FloatStorage")),
        SYSTEM_CALL + b"." + VERSION + SYSTEM,
        MAGIC + SYSTEM_CALL + b"." + SYSTEM,
        MAGIC + VERSION + SYSTEM_CALL + b".",
        stream(tail=SYSTEM_CALL + b"." + DATA),
        stream(head=VERSION + VERSION + SYSTEM),
        stream(head=MAGIC + MAGIC + SYSTEM),
        stream(head=MAGIC + VERSION + b"}" + text("little_endian") + b"\x89s."),
        stream(head=MAGIC + VERSION + b"}."),
        stream(head=MAGIC + VERSION + b"N."),
        stream(tail=KEYS + DATA[:-1]),
        stream(tail=KEYS + DATA + b"x"),
        stream(tail=KEYS),
        stream(tail=KEYS + (2**40).to_bytes(8, "little") + bytes(16)),
        stream(tail=KEYS + (2**64 - 1).to_bytes(8, "little") + bytes(16)),
        stream(tail=b"]." + DATA),
        stream(tail=b"N." + DATA),
        stream(tail=b"]K\x01a." + DATA),
        stream(tail=b"](" + text("0") * 2 + b"e." + DATA * 2),
        stream(tail=b"](" + text("0") + text("1") + b"e." + DATA * 2),
        stream(storage(numel=2**38), tail=KEYS + (2**38).to_bytes(8, "little") + bytes(16)),
        stream(storage(numel=-4), tail=KEYS + DATA),
        stream(storage(view=b"(K\x01t")),
        stream(storage(named("torch", "ComplexFloatStorage"))),
        stream(storage(text("FloatStorage"))),
        stream(storage(b"N")),
        stream(b"(" + storage() + storage(numel=3) + b"t"),
        stream(b"K\x01Q"),
        stream(b"(" + text("module") + b"NNNtQ"),
    ],
)
def test_streams_that_are_no_storage(inner: bytes) -> None:
    refused(nested(inner) + b".")


def test_one_storage_in_many_places_is_read_once() -> None:
    size = 1 << 20
    data = stream(storage(numel=size // 4), tail=KEYS + (size // 4).to_bytes(8, "little") + bytes(size))
    again = named("torch.storage", "_load_from_bytes") + b"h\x00\x85R"
    call = named("torch._utils", "_rebuild_tensor_v2") + b"(" + again + number(0) + numbers(size // 4) + numbers(1)
    Path("x.pkl").write_bytes(
        b"B" + struct.pack("<I", len(data)) + data + b"q\x000](" + (call + b"\x89}tR") * 500 + b"e."
    )
    tracemalloc.start()
    start = time.monotonic()
    found = read_content("x.pkl").root
    assert time.monotonic() - start < 5
    assert tracemalloc.get_traced_memory()[1] < 6 * size
    tracemalloc.stop()
    assert len({tensor.data_ptr() for tensor in found}) == 1


@pytest.mark.slow
def test_endless_tensors_of_one_storage() -> None:
    call = named("torch._utils", "_rebuild_tensor_v2") + b"(h\x00K\x00)" + b")\x89}tR0"
    refused(nested(stream()) + b"q\x000" + call * 110_000 + b"N.", "more than")


@pytest.mark.parametrize("prefix", [b"", MAGIC, MAGIC + VERSION])
def test_hostile_pickles_of_the_older_container(prefix: bytes) -> None:
    refused(prefix + SYSTEM_CALL + b".", "not on the list")


def test_every_cut_of_a_stream() -> None:
    data = tensor(number(1), numbers(3), numbers(1))
    for end, cut in itertools.product(range(len(data)), (b"", b".")):
        if data[:end] + cut != data:
            Path("x.pkl").write_bytes(data[:end] + cut)
            try:
                root = read_content("x.pkl").root
            except CheckpointError:
                continue
            assert not isinstance(root, torch.Tensor)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packed_array_that_unfolds_to_more_than_it_promises(method: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("a.npy", bytes(1 << 20))
    monkeypatch.setattr(zipfile.ZipExtFile, "read", None)  # nothing is unpacked
    refused(stream.getvalue(), f"'a' is packed by method {method}; numpy stores or deflates")
