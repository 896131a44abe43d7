"""Who may use a studio's server."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganvert.base.errors import InputError, UnsupportedError
from ganvert.studio import server
from ganvert.studio.server import Fence, bind, serve

HOST = "127.0.0.1:7860"


def refused(fence: Fence, path: str = "/", **headers: str) -> int | None:
    given = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    refusal = fence.refusal(path, [(name.encode(), value.encode()) for name, value in given.items() if value])
    return refusal and refusal[0]


def test_only_its_own_page_may_use_it() -> None:
    fence = Fence(None, frozenset({HOST}), None)
    assert refused(fence) is None and refused(fence, origin=f"http://{HOST}", sec_fetch_site="same-origin") is None
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"http://{HOST}.evil.example"):
        assert refused(fence, origin=origin) == 403
    for host in ("evil.example:7860", "127.0.0.1", ""):
        assert refused(fence, host=host) == 403
    for site in ("cross-site", "same-site"):
        assert refused(fence, sec_fetch_site=site) == 403


@pytest.mark.parametrize("port", [80, 443, 7860])
def test_a_port_may_be_left_out_where_it_is_that_of_http(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(server, "make_app", lambda page, sessions, hosts, password: asked.append(hosts))
    monkeypatch.setattr(server, "run_until_signal", lambda *_: 0)
    sessions: Any = SimpleNamespace(end=lambda: True, forget=None)
    listening: Any = SimpleNamespace(getsockname=lambda: ("127.0.0.1", port))
    assert serve(SimpleNamespace(ending=SimpleNamespace(set=None)), sessions, listening, None) == 0
    fence = Fence(None, asked[0], None)
    for name in ("127.0.0.1", "localhost"):
        assert refused(fence, host=f"{name}:{port}", origin=f"http://{name}:{port}") is None
        assert refused(fence, host=name, origin=f"http://{name}") == (None if port == 80 else 403)
        for origin in (f"https://{name}", f"http://{name}:7861", "http://evil.example", f"http://{name}.evil.example"):
            assert (
                refused(fence, host=name, origin=origin) == refused(fence, host=f"{name}:{port}", origin=origin) == 403
            )
    for host in ("evil.example", "evil.example:80", "127.0.0.2", "localhost.evil.example", "localhost:"):
        assert refused(fence, host=host) == 403


@pytest.mark.parametrize(
    "route",
    [
        "upload",
        "file=/etc/passwd",
        "file/x",
        "proxy=http://x",
        "stream/a/b/c",
        "upload_progress",
        "run-history/records",
        "vibe-edit",
        "call/act",
        "file=/etc/gradio_api/info",
        "proxy=http://x/gradio_api/queue/join",
    ],
)
def test_routes_for_files_are_closed(route: str) -> None:
    fence = Fence(None, frozenset({HOST}), None)
    assert refused(fence, f"/gradio_api/{route}") == 404
    assert refused(fence, "/gradio_api/queue/join") is None


def test_on_an_open_network_every_request_needs_the_password() -> None:
    fence = Fence(None, None, "secret")

    def basic(user: str) -> str:
        return "Basic " + base64.b64encode(user.encode()).decode()

    assert refused(fence) == refused(fence, authorization=basic("ganvert:wrong")) == 401
    assert refused(fence, authorization="Bearer secret") == refused(fence, authorization="Basic") == 401
    assert refused(fence, authorization=basic("ganvert:secret")) is None
    assert refused(fence, host="box:7860", origin="http://box:7860", authorization=basic("ganvert:secret")) is None
    assert refused(fence, host="box", origin="https://box", authorization=basic("ganvert:secret")) is None
    assert refused(fence, host="box:7860", origin="http://evil", authorization=basic("ganvert:secret")) == 403


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(UnsupportedError, match=f"--port {port}.*choose another"):
            bind("127.0.0.1", port)
    with pytest.raises(InputError, match="wanted an address of this machine"):
        bind("192.0.2.1", 0)
    assert isinstance(first, socket.socket)


SERVED = """
import signal, socket, sys, threading
from ganvert.studio.until_signal import run_until_signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may run under nohup
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        threading.Thread(target=print, args=["up"], kwargs={"flush": True}).start()
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
code = run_until_signal(app, socket.create_server(("127.0.0.1", 0)), lambda: print("end", flush=True), lambda: None)
print("whole", flush=True)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("number", "word", "code"), [("INT", "Ctrl-C", 0), ("TERM", "SIGTERM", 143), ("HUP", "SIGHUP", 129)]
)
def test_whatever_ends_a_server_is_said_and_its_work_is_ended(number: str, word: str, code: int) -> None:
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVED],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        process.send_signal(signal.Signals[f"SIG{number}"])
        said, complained = process.communicate(timeout=60)
    finally:
        process.kill()
    assert said == "end\nwhole\n" and process.returncode == code
    assert complained.startswith(f"ganvert studio: ended by {word}") and complained.count("\n") == 1


KILLED = """
import os, signal, tempfile
from ganvert.base.files import temporary_prefix
tempfile.mkdtemp(prefix=temporary_prefix("ganvert-studio"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_studio_that_was_killed_is_reported_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)}
    killed = subprocess.Popen([sys.executable, "-c", KILLED], env=environment)
    assert killed.wait() == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 1
    running: list[Path] = []

    def run(*_: Any) -> int:
        running.extend(tmp_path.iterdir())
        return 0

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(server, "make_app", lambda *_: None)
    monkeypatch.setattr(server, "run_until_signal", run)
    sessions: Any = SimpleNamespace(end=lambda: True, forget=None)
    page = SimpleNamespace(ending=SimpleNamespace(set=None))
    said = []
    for _ in range(2):
        with bind("127.0.0.1", 0) as listening:
            assert serve(page, sessions, listening, None) == 0
        said.append(capfd.readouterr().err)
    assert f"(process {killed.pid}) was killed" in said[0] and said[1] == ""
    assert len(running) == 2 and list(tmp_path.iterdir()) == []
