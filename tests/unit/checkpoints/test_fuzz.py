"""Whatever the bytes are: data or one CheckpointError, with memory in proportion to the file."""

from __future__ import annotations

import contextlib
import itertools
import tracemalloc
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints.containers import read_content
from ganvert.checkpoints.names import CHECKPOINTS

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"
bounded = settings(
    derandomize=True, max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "x"


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Small files of every container."""
    folder = tmp_path_factory.mktemp("seeds")
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(2).half(), "c": {"d": [1, "text", None]}}
    torch.save(tensors, folder / "zip")
    torch.save(tensors, folder / "legacy", _use_new_zipfile_serialization=False)
    made = [(folder / name).read_bytes() for name in ("zip", "legacy")]
    names = ("evil/E2_nvlabs_evil_module_src.pkl", "B1_rosinality_w64_map8.pt", "A4_ada_resnet.pkl")
    golden = [(GOLDEN / name).read_bytes() for name in names]
    return [*made, *made, golden[0], *golden]


def survives(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    tracemalloc.start()
    try:
        content = read_content(file)
        assert content.size == len(data)
    except CheckpointError as error:
        assert str(file) in str(error) and len(str(error)) < 2000
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 6 * len(data) + (2 << 20)


def opcodes() -> st.SearchStrategy[bytes]:
    """One opcode, most with an argument that may fit."""
    names = sorted(f"{module}\n{name}\n".encode() for module, name in CHECKPOINTS)
    plain = b"N\x88\x89)]}\x8f(01tle\x85\x86\x87asdu2.RbQ\x81\x92\x93\x94\x90\x91oi"
    sizes = st.sampled_from([0, 1, 2, 3, 4, 8, 255, 2**31 - 1, 2**32 - 1])
    return st.one_of(
        st.sampled_from([bytes([code]) for code in plain]),
        st.sampled_from(names).map(lambda name: b"c" + name),
        st.sampled_from([b"cos\nsystem\n", b"cbuiltins\nexec\n"]),
        st.tuples(st.sampled_from(b"KhqU\x8cC\x8a\x80"), st.binary(min_size=1, max_size=12)).map(
            lambda pair: bytes([pair[0]]) + pair[1]
        ),
        st.tuples(st.sampled_from(b"JBXTjr\x8b"), sizes, st.binary(max_size=8)).map(
            lambda parts: bytes([parts[0]]) + parts[1].to_bytes(4, "little") + parts[2]
        ),
        st.tuples(st.sampled_from(b"\x8d\x8e\x95\x96G"), sizes, st.binary(max_size=8)).map(
            lambda parts: bytes([parts[0]]) + parts[1].to_bytes(8, "little") + parts[2]
        ),
        st.tuples(st.sampled_from(b"ILFSVPpg"), st.binary(max_size=12)).map(
            lambda pair: bytes([pair[0]]) + pair[1] + b"\n"
        ),
    )


@pytest.mark.slow
def test_flips_cuts_and_splices(file: Path, seeds: list[bytes]) -> None:
    @bounded
    @given(st.data())
    def fuzz(draw: st.DataObject) -> None:
        data = bytearray(draw.draw(st.sampled_from(seeds)))
        for _ in range(draw.draw(st.integers(1, 6))):
            # half of the changes near the front, where the larger files have their structure
            place = draw.draw(st.one_of(st.integers(0, 3000), st.integers(0, len(data)))) % (len(data) or 1)
            kind = draw.draw(st.sampled_from(["flip", "cut", "splice", "insert", "remove"]))
            if kind == "flip" and data:
                data[place] ^= draw.draw(st.integers(1, 255))
            elif kind == "cut":
                del data[place:]
            elif kind == "splice":
                other = draw.draw(st.sampled_from(seeds))
                start = draw.draw(st.integers(0, len(other)))
                data[place : place + 64] = other[start : start + 64]
            elif kind == "insert":
                data[place:place] = b"".join(draw.draw(st.lists(opcodes(), min_size=1, max_size=3)))
            else:
                del data[place : place + draw.draw(st.integers(1, 40))]
        survives(file, bytes(data))

    fuzz()


@pytest.mark.slow
def test_soups_of_opcodes(file: Path) -> None:
    @bounded
    @given(st.lists(opcodes(), max_size=60).map(b"".join))
    def fuzz(data: bytes) -> None:
        survives(file, data + b".")

    fuzz()


def test_any_bytes(file: Path) -> None:
    heads = [b"", b"PK\x03\x04", b"\x80\x02", b"\x02" + bytes(7) + b"{}", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."]

    @bounded
    @given(st.sampled_from(heads), st.binary(max_size=200))
    def fuzz(head: bytes, rest: bytes) -> None:
        survives(file, head + rest)

    fuzz()


def test_repeated_opcodes_cost_their_number(file: Path) -> None:
    for unit in (b"]", b"}", b"(", b"]\x94", b")\x94", b"\x8f", b"K\x01\x85", b"C\x00\x94"):
        file.write_bytes(b"".join(itertools.repeat(unit, 10_000)) + b".")
        tracemalloc.start()
        with contextlib.suppress(CheckpointError):
            read_content(file)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10_000 * 400
