"""Files of every container: golden ones bit for bit, damaged ones refused by their place and reason."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ganvert.base.errors import CheckpointError
from ganvert.checkpoints import containers, ganvert_file
from ganvert.checkpoints import read as read_module
from ganvert.checkpoints.base import Checkpoint, Content, Format, Instance
from ganvert.checkpoints.containers import read_content
from ganvert.checkpoints.ganvert_file import save_generator, write_tensors
from ganvert.checkpoints.read import read_checkpoint
from ganvert.checkpoints.tensors import Joined, finite, take, visit

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"
ARCHIVES = ["B1_rosinality_w64_map8.pt", "C1_genforce_stylegan1_64.pth", "C3_idinvert_stylegan1_128.pth"]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and one.stride() == other.stride() and torch.equal(one, other)
    if isinstance(one, dict):
        return type(other) is dict and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_read_as_torch_reads_them(name: str) -> None:
    content = read_content(GOLDEN / name)
    assert (content.container, content.size) == ("torch_zip", (GOLDEN / name).stat().st_size)
    assert same(torch.load(GOLDEN / name, weights_only=True), content.root)


def test_a_training_file_keeps_its_arguments() -> None:
    content = read_content(GOLDEN / "B3_rosinality_train_layout.pt")
    assert isinstance(content.root["args"], Instance) and content.root["args"].kind == "argparse.Namespace"
    assert content.root["args"].state["size"] == 64


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_torch_saves(tmp_path: Path, legacy: bool, protocol: int) -> None:
    base, path = torch.randn(4, 6), tmp_path / "x.pt"
    value = {
        "views": [base, base[1:, ::2], base.T, base[0, 0]],
        "types": [base.to(t) for t in (torch.half, torch.bfloat16, torch.double, torch.int8, torch.bool, torch.long)],
        "parameter": torch.nn.Linear(2, 3).state_dict(),
        "empty": torch.empty(0, 3),
        "numbers": (1, 2.5, None, "text", {"a"}),
    }
    torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    content = read_content(path)
    assert content.container == ("torch_legacy" if legacy else "torch_zip")
    assert same(value, content.root)
    views = content.root["views"]
    assert views[0].data_ptr() == views[2].data_ptr()


def test_golden_archive_in_the_older_container(tmp_path: Path) -> None:
    value = torch.load(GOLDEN / ARCHIVES[0], weights_only=True)
    torch.save(value, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    assert same(value, read_content(tmp_path / "x.pt").root)


def module_tensors(module: Instance) -> Iterator[tuple[str, Tensor]]:
    def below(node: Instance) -> Iterator[tuple[str, Any]]:
        if isinstance(node, Instance):
            state = node.args[0]["state"]
            for kind in ("_parameters", "_buffers", "_modules"):
                yield from ((name, value) for name, value in state[kind].items() if value is not None)

    return ((name, value) for name, value in visit(module, below, "test") if isinstance(value, Tensor))


def test_a_pickle_with_a_hostile_source_gives_its_tensors() -> None:
    file = GOLDEN / "evil" / "E2_nvlabs_evil_module_src"
    content = read_content(file.with_suffix(".pkl"))
    found = dict(module_tensors(content.root["G_ema"]))
    expected = np.load(file.with_suffix(".npz"))
    names = [name for name in expected.files if name.startswith("sd/")]
    assert len(names) > 50
    for name in names:
        wanted, got = expected[name], found[name.removeprefix("sd/")].numpy()
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        assert got.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", ["A4_ada_resnet.pkl", "D1_stylegan3_t.pkl"])
def test_pickles_of_modules(name: str) -> None:
    content = read_content(GOLDEN / name)
    assert content.container == "pickle"
    found = dict(module_tensors(content.root["G_ema"]))
    assert "mapping.w_avg" in found and all(torch.isfinite(value).all() for value in found.values())


def test_tensorflow_pickles_hold_arrays() -> None:
    network = read_content(GOLDEN / "T1_tf_stylegan1_emulated.pkl").root[2]
    assert network.kind == "dnnlib.tflib.network.Network"
    assert all(np.isfinite(value).all() for _, value in network.state["variables"])
    assert {type(value) for _, value in network.state["variables"]} == {np.ndarray, float}


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file; run `ganvert fetch`"):
        read_content(tmp_path / "missing.pkl")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_content(tmp_path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_content("/dev/zero")
    (tmp_path / "empty").touch()
    with pytest.raises(CheckpointError, match="0 bytes"):
        read_content(tmp_path / "empty")
    with pytest.raises(CheckpointError):
        read_content("a\0b")


def test_refuses_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"N" * 100)
    monkeypatch.setattr(containers, "MAX_BYTES", 99)
    with pytest.raises(CheckpointError, match="1 to 99 are read"):
        read_content(tmp_path / "x")


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n" + b"\0" * 99, b"GIF89a" + b"\0" * 9, b"text\n", b"\0" * 500])
def test_other_files(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(CheckpointError, match="x: refused"):
        read_content(tmp_path / "x")


# --- archives --------------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    torch.save({"a": torch.arange(6.0).reshape(2, 3)}, tmp_path / "x.pt")
    return tmp_path / "x.pt"


def rewritten(path: Path, change: dict[str, bytes | None], method: int = zipfile.ZIP_STORED) -> Path:
    """The archive with members replaced or left out."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", method) as new:
        for name, data in members.items():
            if (data := change.get(name.partition("/")[2], data)) is not None:
                new.writestr(name, data)
    return path


def refused(path: Path, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason) as caught:
        read_content(path)
    assert str(path) in str(caught.value)


def test_archives_of_another_writer(archive: Path) -> None:
    wanted = read_content(archive).root["a"].clone()
    assert torch.equal(read_content(rewritten(archive, {})).root["a"], wanted)
    assert torch.equal(read_content(rewritten(archive, {"byteorder": None})).root["a"], wanted)


def test_archive_of_the_other_byte_order(archive: Path) -> None:
    wanted = read_content(archive).root["a"].clone()
    rewritten(archive, {"byteorder": b"big", "data/0": wanted.numpy().astype(">f4").tobytes()})
    assert torch.equal(read_content(archive).root["a"], wanted)


def test_damaged_archives(archive: Path) -> None:
    data = archive.read_bytes()
    for change, reason in [
        ({"data.pkl": None}, "0 data.pkl"),
        ({"data/0": None}, "has no"),
        ({"data/0": bytes(23)}, "has 23 bytes"),
        ({"byteorder": b"middle"}, "byte order"),
        ({"data.pkl": b"\x80\x02N"}, "cut short"),
    ]:
        archive.write_bytes(data)
        refused(rewritten(archive, change), reason)
    archive.write_bytes(data)
    refused(rewritten(archive, {}, zipfile.ZIP_DEFLATED), "compressed")
    archive.write_bytes(data[:-1])
    refused(archive, "archive's end")
    archive.write_bytes(data + b"x")
    refused(archive, "follows the end")
    archive.write_bytes(data[: len(data) // 2])
    refused(archive, "archive's end")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_with_doubles(archive: Path) -> None:
    data = archive.read_bytes()
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("x/data.pkl", b"N.")
    refused(archive, "two members")
    archive.write_bytes(data)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("y/data.pkl", b"N.")
    refused(archive, "2 data.pkl")


def entries(data: bytes) -> Iterator[int]:
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        yield place
        place = data.find(b"PK\x01\x02", place + 1)


def test_members_that_reach_outside_or_overlap(archive: Path) -> None:
    data = rewritten(archive, {}).read_bytes()
    first, second, *_ = entries(data)
    for at, value in [(20, 2**31), (24, 2**31), (42, 2**31)]:
        changed = bytearray(data)
        struct.pack_into("<I", changed, second + at, value)
        archive.write_bytes(changed)
        refused(archive, "reaches outside|compressed|lies outside|damaged")
    changed = bytearray(data)
    size = len(data) - 200
    struct.pack_into("<2I", changed, first + 20, size // 2, size // 2)
    archive.write_bytes(changed)
    refused(archive, "overlap")
    changed = bytearray(data)
    struct.pack_into("<I", changed, second + 42, struct.unpack_from("<I", changed, first + 42)[0])
    archive.write_bytes(changed)
    refused(archive, "two names")


def test_an_archive_of_countless_members(archive: Path) -> None:
    data = bytearray(rewritten(archive, {}).read_bytes())
    end = data.rfind(b"PK\x05\x06")
    struct.pack_into("<2H", data, end + 8, 0xFFFE, 0xFFFE)
    archive.write_bytes(data)
    refused(archive, "directory")


# --- safetensors and our own -----------------------------------------------------------------------------------------


CHECKPOINT = Checkpoint(
    format="other", architecture="net", state={"a": torch.randn(2, 3), "b": torch.zeros(())}, config={"x": [1, None]}
)


def test_our_own_file_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "g.safetensors"
    save_generator(path, CHECKPOINT, {"source_format": "other", "source_sha256": "0" * 64})
    content = read_content(path)
    assert content.metadata["source_format"] == "other"
    monkeypatch.setattr(read_module, "FORMATS", {"ganvert": Format(ganvert_file.matches, ganvert_file.read)})
    found = read_checkpoint(path)
    assert (found.format, found.architecture, found.config) == ("ganvert", "net", {"x": [1, None]})
    assert same(CHECKPOINT.state, found.state)
    assert [item.name for item in tmp_path.iterdir()] == ["g.safetensors"]
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    assert list(header["__metadata__"]) == sorted(header["__metadata__"])  # not in the order of a hash table
    with pytest.raises(CheckpointError, match="metadata config cannot be given"):
        save_generator(path, CHECKPOINT, {"config": "{}"})


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"format": "ganvert"}, "no architecture"),
        ({"format": "ganvert", "architecture": "net", "config": "{"}, "not JSON"),
        ({"format": "ganvert", "architecture": "net", "config": "[" * 100_000}, "JSON|Recursion"),
        ({"format": "ganvert", "architecture": "net", "config": "[1]"}, "wanted a JSON object"),
        ({"format": "pt"}, "not a ganvert generator"),
    ],
)
def test_other_safetensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata: dict[str, str], reason: str
) -> None:
    monkeypatch.setattr(read_module, "FORMATS", {"ganvert": Format(ganvert_file.matches, ganvert_file.read)})
    save_file(CHECKPOINT.state, tmp_path / "g.safetensors", metadata)
    with pytest.raises(CheckpointError, match=reason):
        read_checkpoint(tmp_path / "g.safetensors")


def test_damaged_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    for data in [
        struct.pack("<Q", len(header)) + header + bytes(64),
        struct.pack("<Q", 2) + b"{x" + bytes(64),
        struct.pack("<Q", 17 << 20) + b"{" + bytes(17 << 20),
    ]:
        path.write_bytes(data)
        refused(path, "g.safetensors: refused")


def test_no_format_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_content: Content) -> bool:
        raise IndexError("surprise")

    torch.save({"model": 1, 5: 2}, tmp_path / "x.pt")
    monkeypatch.setattr(read_module, "FORMATS", {"toy": Format(lambda _: False, ganvert_file.read)})
    with pytest.raises(CheckpointError, match=r"x\.pt: a torch_zip file of 2 entries \('model', 5\).*toy"):
        read_checkpoint(tmp_path / "x.pt")
    monkeypatch.setattr(read_module, "FORMATS", {"toy": Format(broken, ganvert_file.read)})
    with pytest.raises(CheckpointError, match=r"x\.pt: not a generator \(IndexError: surprise\)"):
        read_checkpoint(tmp_path / "x.pt")


# --- take and visit --------------------------------------------------------------------------------------------------


def test_take_copies() -> None:
    content = Content("pickle", None, {}, 1000)
    base, array = torch.arange(6.0).reshape(2, 3), np.arange(6, dtype=">f8").reshape(2, 3)
    found = take(content, {"a": base.T, "b": base.half(), "c": array.T, "d": np.float32([2])}, "here")
    assert all(value.dtype == torch.float32 and value.is_contiguous() for value in found.values())
    assert torch.equal(found["a"], base.T) and torch.equal(found["c"], base.T) and torch.equal(found["b"], base)
    base.zero_()
    assert found["a"].sum() == 15


@pytest.mark.parametrize("value", [torch.arange(3), torch.ones(2) > 0, np.arange(3), 1.0, None, torch.ones(2) * 1j])
def test_take_refuses_what_is_no_floating_tensor(value: Any) -> None:
    with pytest.raises(CheckpointError, match="here: a is"):
        take(Content("pickle", None, {}, 1000), {"a": value}, "here")


def test_take_copies_nothing_of_a_content_that_is_kept() -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    content = Content("pickle", None, {}, 100, kept=True)
    taken = take(content, {"a": whole, "t": whole.T, "h": whole.half()}, "test")
    assert taken["a"].data_ptr() == whole.data_ptr()
    assert all(value.is_contiguous() and value.dtype == torch.float32 for value in taken.values())
    assert torch.equal(taken["t"], whole.T) and torch.equal(taken["h"], whole)


def test_finite() -> None:
    huge = torch.full((4,), 3e38)  # their sum is not finite, they are
    for value in (huge, -huge, torch.zeros(0), torch.tensor([6e4, 6e4]).half()):
        assert finite(value)
    for bad in (torch.inf, -torch.inf, torch.nan):
        assert not finite(torch.cat([huge, torch.tensor([bad])]))
        assert not finite(torch.tensor([1.0, bad]).half())


def test_joined_tensors_are_one_in_the_file(tmp_path: Path) -> None:
    parts = tuple(torch.arange(6.0 * n).reshape(2 * n, 3) for n in (1, 2))
    write_tensors(tmp_path / "joined", {"x": Joined(parts).to(torch.float16), "y": torch.ones(2)}, {"a": "b"})
    write_tensors(tmp_path / "whole", {"x": torch.cat(parts).half(), "y": torch.ones(2)}, {"a": "b"})
    assert (tmp_path / "joined").read_bytes() == (tmp_path / "whole").read_bytes()


def test_take_refuses_repetition() -> None:
    tensor = torch.zeros(1000)
    assert len(take(Content("pickle", None, {}, 1000), dict.fromkeys("abcd", tensor), "here")) == 4
    with pytest.raises(CheckpointError, match="5000 numbers out of a file of 1000 bytes"):
        take(Content("pickle", None, {}, 1000), dict.fromkeys("abcde", tensor), "here")


def test_visit_is_bounded() -> None:
    def below(node: Any) -> Any:
        return node.items() if isinstance(node, dict) else ()

    assert [name for name, _ in visit({"a": {"b": 1}, "c": 2}, below, "here")] == ["a", "a.b", "c"]
    laughs: dict[str, Any] = {}
    for _ in range(40):
        laughs = {"a": laughs, "b": laughs}
    with pytest.raises(CheckpointError, match="repeats itself"):
        list(visit(laughs, below, "here"))
    loop: dict[str, Any] = {}
    loop["a"] = loop
    with pytest.raises(CheckpointError, match="64 levels"):
        list(visit(loop, below, "here"))
