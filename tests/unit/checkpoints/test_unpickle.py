"""The machine reads what Python writes, in every protocol, and keeps to its bounds."""

from __future__ import annotations

import argparse
import pathlib
import pickle
import pickletools
import sys
import tracemalloc
import types
from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np
import pytest
import torch

from ganvert.checkpoints.base import Instance
from ganvert.checkpoints.names import CHECKPOINTS
from ganvert.checkpoints.unpickle import Budget, Global, Machine, Refusal, brief

PROTOCOLS = range(6)


def run(data: bytes, **options: Any) -> Any:
    return Machine(memoryview(bytearray(data)), CHECKPOINTS, **options).run()


def easy_dict(module: str) -> type:
    """A dict subclass that pickles under the name that checkpoints use."""
    return type("EasyDict", (dict,), {"__module__": module})


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -2, 300, 70_000, -(2**31), 2**40, 2**200, -(2**90)], "b": (), "c": (1,), "d": (1, 2), "e": (1, 2, 3)},
        [None, True, False, 0.5, -1e300, float("inf")],
        ["text", "ünïcode \n line \\ 'quoted' 𝄞", "x" * 300, ""],
        [b"", b"bytes", bytes(range(256))],
        [set(), {1, 2}, frozenset("ab"), (1, 2, 3, 4)],
        {1: {2: {3: []}}, None: 1, 2.5: 2},
        [[]] * 3,
        OrderedDict(a=1, b=[2]),
        defaultdict(list, a=[1]),
        {i: str(i) for i in range(3000)},
    ],
)
def test_reads_what_python_writes(value: Any, protocol: int) -> None:
    found = run(pickle.dumps(value, protocol))
    if isinstance(value, dict):
        assert type(found) is dict
    assert found == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_bytes_are_views(protocol: int) -> None:
    data = np.random.default_rng(0).bytes(5000)
    found = run(pickle.dumps([data, bytearray(data)], protocol))
    assert [bytes(item) for item in found] == [data, data]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_classes_become_data(protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dnnlib", "dnnlib.util", "easydict"):
        module = types.ModuleType(name)
        module.EasyDict = easy_dict(name)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
        assert run(pickle.dumps(module.EasyDict(a=1), protocol)) == {"a": 1}
    found = run(pickle.dumps(argparse.Namespace(size=64, path=None), protocol))
    assert (found.kind, found.state) == ("argparse.Namespace", {"size": 64, "path": None})
    path = run(pickle.dumps(pathlib.PurePosixPath("/a/b"), protocol))
    assert path.kind.endswith("PurePosixPath") and path.args[-1] == "b"
    (dtype, size, device) = run(pickle.dumps((torch.float16, torch.Size([2, 3]), torch.device("cpu")), protocol))
    assert (dtype, size) == (Global("torch", "float16"), (2, 3))
    assert (device.kind, device.args) == ("torch.device", ("cpu",))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">i8", "i1", "u1", "i4", "u8", "?"])
def test_arrays_and_scalars(protocol: int, dtype: str) -> None:
    grid = (np.arange(24) % 7).astype(dtype).reshape(2, 3, 4)
    wanted = [grid, np.asfortranarray(grid), grid[:0], grid[0, 0, 1:2].reshape(()), grid]
    found = run(pickle.dumps([*wanted, grid[0, 0, 3]], protocol))
    for one, other in zip(wanted, found):
        assert (other.dtype, other.shape) == (one.dtype, one.shape)
        np.testing.assert_array_equal(other, one)
    assert found[0] is found[4]
    scalar = found[5]
    assert type(scalar) in (bool, int, float) and scalar == grid[0, 0, 3]


def test_numpy_1_spelling() -> None:
    data = pickle.dumps(np.arange(3.0), 2)
    assert b"numpy._core" in data
    np.testing.assert_array_equal(run(data.replace(b"numpy._core", b"numpy.core")), [0, 1, 2])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_storages_inside_a_pickle(protocol: int) -> None:
    base = torch.randn(3, 4)
    tensors = [
        base,
        base.T,
        base[1:],
        torch.nn.Parameter(base),
        base.half(),
        base.to(torch.bfloat16),
        base[:0],
        base[0, 0],
    ]
    found = run(pickle.dumps(tensors, protocol))  # as in a module: a tensor is a call, its storage torch.save's bytes
    for one, other in zip(tensors, found):
        assert type(other) is torch.Tensor and not other.requires_grad
        assert (other.dtype, other.stride()) == (one.dtype, one.stride())
        assert torch.equal(one, other)


def test_memo_marks_and_frames() -> None:
    assert run(b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00K\x01.") == 1
    assert run(b"]r\xff\xff\xff\xff(K\x01K\x021j\xff\xff\xff\xff2a.")[0] is not None  # a list that holds itself
    assert run(b"(K\x01K\x020l.") == [1]
    assert run(b"(I1\nI01\nL5L\nF2.5\nt.") == (1, True, 5, 2.5)
    assert run(b"(S'a'\nV\\u00e9\nU\x01bT\x02\x00\x00\x00cdl.") == ["a", "é", "b", "cd"]
    assert run(b"(S'a'\nK\x01d.") == {"a": 1}
    assert run(b"]K\x010(K\x01K\x02e0N.") is None


def test_attributes_of_dicts_are_not_content() -> None:
    layers = OrderedDict(a=1)
    layers._metadata = {"b": 2}  # type: ignore[attr-defined]
    assert run(pickle.dumps(layers)) == {"a": 1}


def test_huge_claims_allocate_nothing() -> None:
    claims = [
        b"]r\xff\xff\xff\xffN.",  # a place in the memo
        b"]p4294967295\nN.",
        b"\x8e" + b"\xff" * 8 + b"x",
        b"\x8e" + (2**40).to_bytes(8, "little") + b"x",
        b"\x8d" + (2**40).to_bytes(8, "little") + b"x",
        b"\x96" + (2**40).to_bytes(8, "little") + b"x",
        b"B\xff\xff\xff\xffx",
        b"X\xff\xff\xff\xffx",
        b"T\xff\xff\xff\x7fx",
        b"\x95" + (2**40).to_bytes(8, "little") + b"N.",
        b"\x8b\xff\xff\xff\x7f1",
        b"\x8b\xff\xff\xff\xff1",
        b"V" + b"x" * 100,
    ]
    tracemalloc.start()
    for claim in claims:
        try:
            assert run(claim) is None
        except Refusal:
            assert claim[:1] != b"]"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize(
    "stream",
    [
        b"I" + b"9" * 65 + b"\n.",
        b"L" + b"9" * 66 + b"L\n.",
        b"I1_0\n.",
        b"I\n.",
        b"p-1\n.",
        b"N" + b"p" + b"9" * 20 + b"\n.",
        b"\x8a\x41" + b"\x01" * 65 + b".",
        b"\x80\x06N.",
        b"S'a\n.",
        b"Sa\n.",
        b"X\x01\x00\x00\x00\xff.",
        b"h\x00.",
        b"0.",
        b"t.",
        b"\x86.",
        b"NNs.",
        b"Na.",
        b"]Nb.",
        b"}}Ns.",
        b"}(Ne.",
        b"](Nu.",
        b"}(Nu.",
        b"]\x94(N\x90.",
        b"}))s.",  # a tuple for a key
        b"}\x8a\x09" + b"\x01" * 9 + b"Ns.",  # an int of 72 bits for a key
        b"(](\x91\x91.",
        b"NQ.",
        b"Pkey\n.",
        b"c" + b"x" * 300 + b"\nname\n.",
        b"",
        b".",
        b"K",
        b"\xff.",
    ],
)
def test_damaged_streams(stream: bytes) -> None:
    with pytest.raises(ValueError):
        run(stream)


def test_a_stream_cut_after_any_opcode() -> None:
    data = pickle.dumps({"a": [1, (2.0, "x")], "b": np.arange(3), "c": argparse.Namespace(d=1)}, 4)
    places = [position for _, _, position in pickletools.genops(data)]
    assert len(places) > 40
    for place in places[:-1]:
        with pytest.raises(Refusal):
            run(data[: place + 1])
        with pytest.raises(Refusal):
            run(data[:place])


@pytest.mark.parametrize("unit", [b"(", b"\x85", b"]\x94\x85"], ids=["marks", "tuples", "lists"])
def test_depth_is_no_danger(unit: bytes) -> None:
    try:
        found = run(b")" + unit * 100_000 + b".")
    except Refusal:
        assert unit == b"("
    else:
        assert type(found) is tuple


def test_deep_dicts_and_states() -> None:
    assert type(run(b"}" + b"K\x01}" * 50_000 + b"s" * 50_000 + b".")) is dict
    make = b"cargparse\nNamespace\n)\x81"
    found = run(make * 50_000 + b"N" + b"b" * 50_000 + b".")
    assert isinstance(found, Instance)


def test_a_tree_of_shared_parts_costs_its_stream_only() -> None:
    laughs = b"]" + b"2\x86" * 1000 + b"."
    assert type(run(laughs)) is tuple
    with pytest.raises(Refusal):
        run(b"}" + laughs[:-1] + b"Ns.")  # not hashed either


def test_work_is_bounded() -> None:
    with pytest.raises(Refusal, match="more than"):
        run(b"N" * 20 + b".", budget=Budget(10))
    copies = b"](" + b"N" * 1000 + b"e\x94" + b"(cbuiltins\nlist\nh\x00\x85R" * 100 + b"."
    with pytest.raises(Refusal, match="more than"):
        run(copies, budget=Budget(50_000))
    text = b"X" + (5000).to_bytes(4, "little") + b"a" * 5000
    encoded = text + b"\x94](" + b"c_codecs\nencode\nh\x00\x8c\x06latin1\x86R" * 50 + b"e."
    assert len({id(item) for item in run(encoded)}) == 1


def test_messages_show_no_content() -> None:
    assert brief("x" * 1000) == repr("x" * 77 + "...")
    assert brief([1]) == "a list" and brief(3) == "3" and brief(2**90) == "a huge int" and brief(None) == "None"
    assert brief(Global("torch", "bool")) == "<torch.bool>"
