"""Attacks on a running `flows.ui`: what other pages, other users and a forged database can make it do, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import websockets

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow

DVC_YAML = "stages: {own: {cmd: cp params.yaml own.txt, deps: [params.yaml], outs: [own.txt]}}\n"


@dataclass
class Ui:
    """A running `flows.ui`, and a client that has its secret, as a browser that opened its page has."""

    process: subprocess.Popen[bytes]
    home: Path
    address: str
    secret: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        token = self._send("GET", "/csrf-token?client=test").json()["token"]
        own = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
        return self._send(method, path, json=body, headers=own | headers)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        user, _, password = self.secret.partition(":")
        for _ in range(10):
            answer = httpx.request(method, f"{self.address}/api{path}", auth=(user, password), timeout=60, **options)
            if answer.status_code != 503:  # SQLite's lock was held for too long; Prefect's client tries again too
                break
            time.sleep(1)
        return answer

    def deployment(self, name: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/deployments/name/{name}").json())

    def run(self, name: str, **parameters: Any) -> str:
        """Start a run as the UI's *Quick run* does; return its final state, with its message."""
        deployment = self.deployment(name)["id"]
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        run = self.ask("POST", f"/deployments/{deployment}/create_flow_run", body).json()["id"]

        def state() -> str:
            now = self.ask("GET", f"/flow_runs/{run}").json()["state"]
            return f"{now['name']}: {now['message']}" if now["type"] in {"COMPLETED", "FAILED", "CRASHED"} else ""

        return str(within(120, state))


def within(seconds: float, condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def environment(home: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    return {**own, "PREFECT_HOME": str(home), "PYTHONPATH": str(ROOT), "PREFECT_RUNNER_POLL_FREQUENCY": "1"}


@pytest.fixture(scope="module")
def ui(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=photographs, check=True)
    (photographs / "dvc.yaml").write_text(DVC_YAML)
    home, port = tmp_path_factory.mktemp("home") / "prefect", free_port()
    page = home / "ganvert" / f"ui-{port}.html"
    log = home.parent / "ui.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.ui", "--port", str(port), "--photos", "photos"],
            cwd=photographs,
            env=environment(home),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        assert within(180, lambda: process.poll() is not None or b"serving" in log.read_bytes()), log.read_text()
        assert process.poll() is None, log.read_text()
        (secret,) = set(re.findall(r"/open#([^\"]+)\"", page.read_text()))
        yield Ui(process, home, f"http://127.0.0.1:{port}", secret)
    finally:
        process.kill()
        process.wait()


def test_a_request_needs_the_secret_the_own_host_and_the_own_origin(ui: Ui) -> None:
    good = {"Authorization": httpx.BasicAuth(*ui.secret.split(":"))._auth_header}
    wrong = {"Authorization": httpx.BasicAuth("ganvert", "wrong")._auth_header}
    read, start = ("GET", "/api/deployments/name/reproduce/ganvert-pipeline"), ("POST", "/api/artifacts/filter")

    def status(request: tuple[str, str], headers: dict[str, str]) -> int:
        return httpx.request(request[0], ui.address + request[1], headers=headers).status_code

    assert status(read, good) == status(read, good | {"Origin": ui.address}) == 200
    assert status(read, {}) == status(read, wrong) == 401
    for foreign in ("http://evil.example", "null", "http://127.0.0.1:1", "https" + ui.address[4:]):
        assert status(read, good | {"Origin": foreign}) == 403
    for host in ("evil.example", ui.address[7:].replace("127.0.0.1", "evil.example"), "localhost"):
        assert status(read, good | {"Host": host}) == 403
        assert status(("GET", "/"), {"Host": host}) == 403
    # A page can send this without asking the browser's permission first.
    assert status(start, {"Content-Type": "text/plain"}) in {401, 403}
    assert status(start, good | {"Content-Type": "text/plain"}) == 403  # no CSRF token
    page = httpx.get(ui.address, headers={"Origin": ui.address})
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "access-control-allow-origin" not in page.headers


def test_events_and_logs_are_streamed_to_nobody_without_the_secret(ui: Ui) -> None:
    async def listen(path: str, token: str, **options: Any) -> str:
        try:
            async with websockets.connect(
                ui.address.replace("http", "ws") + path, subprotocols=["prefect"], **options
            ) as stream:
                await stream.send(json.dumps({"type": "auth", "token": token}))
                return str(json.loads(await stream.recv())["type"])
        except (websockets.ConnectionClosed, websockets.InvalidStatus) as error:
            return type(error).__name__

    for path in ("/api/events/out", "/api/logs/out", "/api/events/in"):
        assert asyncio.run(listen(path, ui.secret)) == "auth_success"
        assert asyncio.run(listen(path, "ganvert:wrong")).startswith("ConnectionClosed")
        assert asyncio.run(listen(path, ui.secret, origin="http://evil.example")) == "InvalidStatus"


# What a page can try without any help of the user. Each of these is the promise of whether it reached its aim.
TRIES = """
const secret = {"Authorization": "Basic " + btoa(SECRET)};
const good = promise => promise.then(answer => answer.ok, () => false);
const loaded = (tag, source) => new Promise(resolve => {
  const element = Object.assign(document.createElement(tag), {src: source});
  element.onload = () => resolve(true);
  element.onerror = () => resolve(false);
  document.body.append(element);
});
const opened = path => new Promise(resolve => {
  const socket = new WebSocket(API.replace("http", "ws") + path, "prefect");
  socket.onopen = () => resolve(true);
  socket.onerror = () => resolve(false);
});
const tries = {
  read: good(fetch(API + "/admin/version")),
  read_with_the_secret: good(fetch(API + "/admin/version", {headers: secret})),
  picture: loaded("img", UI + "/ico/favicon.ico"),
  script: loaded("script", UI + "/open"),
  events: opened("/events/out"),
  events_in: opened("/events/in"),
  logs: opened("/logs/out"),
};
"""
# A body of text/plain needs no preflight: whether the server takes it is seen in what it has done afterwards.
BLIND = """
const body = JSON.stringify({name: "forged"});
const form = Object.assign(document.createElement("form"),
  {method: "post", enctype: "text/plain", action: API + "/flows/", target: "frame"});
const names = {name: '{"name": "forged", "labels": {"a": "', value: '"}}'};
form.append(Object.assign(document.createElement("input"), names));
const frame = Object.assign(document.createElement("iframe"), {name: "frame"});
document.body.append(frame, form);
const answered = new Promise(resolve => frame.onload = resolve);
form.submit();
Promise.allSettled([answered, ...["omit", "include"].map(credentials =>
  fetch(API + "/flows/", {method: "POST", mode: "no-cors", credentials, body}))]).then(() => true);
"""


@pytest.fixture(scope="module")
def foreign() -> Iterator[int]:
    """The port of a server with an empty page."""

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>foreign</title><body>foreign</body>")

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_the_page_opens_the_ui_and_nothing_from_elsewhere(ui: Ui, chromium: Any) -> None:
    chromium.open((ui.home / "ganvert" / f"ui-{ui.address.rpartition(':')[2]}.html").as_uri())
    assert chromium.shows("Event Feed"), chromium.run("document.body.innerText")
    assert ui.secret not in chromium.run("location.href")
    chromium.open(f"{ui.address}/deployments")
    assert chromium.shows("ganvert-extraction")
    assert {urlsplit(url).netloc for url in chromium.requests() if url.startswith(("http", "ws"))} == {ui.address[7:]}


def test_a_foreign_page_gets_nowhere_in_a_browser_that_holds_the_secret(ui: Ui, chromium: Any, foreign: int) -> None:
    constants = f"const UI = {ui.address!r}, API = UI + '/api', SECRET = {ui.secret!r};"
    tries = f"(async () => {{{constants}{TRIES}"
    all_of_them = (
        tries
        + "return Object.fromEntries(await Promise.all(Object.entries(tries).map(async ([k, v]) => [k, await v])))})()"
    )
    # The control: on a page of the own origin all of them work but two, which want the secret and a script's type.
    chromium.open(f"{ui.address}/api/health")
    assert chromium.run("location.origin") == ui.address
    own = chromium.run(all_of_them)
    assert {name for name, reached in own.items() if not reached} == {"read", "script"}, own
    for host in (f"127.0.0.1:{foreign}", f"evil.example:{foreign}"):
        chromium.open(f"http://{host}/")
        assert chromium.shows("foreign")
        assert set(chromium.run(all_of_them).values()) == {False}
        chromium.run(f"(() => {{{constants}{BLIND}}})()")
        # A frame with the UI in it would let a page guide the user's clicks.
        chromium.run(
            "new Promise(done => document.body.append(Object.assign(document.createElement('iframe'), "
            f"{{src: {ui.address!r} + '/?framed', onload: done}}))).then(() => true)"
        )
        failed = [event["params"] for event in chromium.events if event["method"] == "Network.loadingFailed"]
        assert any("BLOCKED_BY" in params["errorText"] or "blockedReason" in params for params in failed), failed
    # A name of the attacker's that leads here makes his page one of the same origin.
    chromium.open(ui.address.replace("127.0.0.1", "evil.example"))
    assert chromium.shows("this server is")
    assert chromium.run("fetch('/api/admin/version').then(answer => answer.status)") == 403
    assert ui.ask("POST", "/flows/filter", {"flows": {"name": {"any_": ["forged"]}}}).json() == []


def test_nobody_else_can_read_what_prefect_stores(ui: Ui) -> None:
    assert ui.home.stat().st_mode & 0o777 == 0o700
    files = [path for path in ui.home.rglob("*") if path.is_file()]
    assert {"prefect.db", "prefect.db-wal"} < {path.name for path in files}
    assert {path.name: path.stat().st_mode & 0o077 for path in files} == dict.fromkeys([path.name for path in files], 0)
    for process in [ui.process.pid, *(child.pid for child in psutil.Process(ui.process.pid).children(recursive=True))]:
        with contextlib.suppress(psutil.NoSuchProcess):
            assert ui.secret.partition(":")[2] not in " ".join(psutil.Process(process).cmdline())


def test_a_forged_deployment_runs_the_own_flow(ui: Ui, photographs: Path, tmp_path: Path) -> None:
    """Whoever can write into the server's database may start a run of the pipeline, and nothing else."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"from pathlib import Path\nPath({str(tmp_path / 'imported')!r}).touch()\n")
    own = ui.deployment("reproduce/ganvert-pipeline")
    forged = {
        "name": own["name"],
        "flow_id": own["flow_id"],
        "entrypoint": f"{evil}:reproduce",
        "path": str(tmp_path),
        "pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": f"touch {tmp_path / 'pulled'}"}}],
        "job_variables": {"command": f"touch {tmp_path / 'commanded'}", "env": {"PYTHONSTARTUP": str(evil)}},
        "enforce_parameter_schema": False,
    }
    assert ui.ask("POST", "/deployments/", forged).status_code in {200, 201}
    assert ui.deployment("reproduce/ganvert-pipeline")["pull_steps"]
    assert ui.run("reproduce/ganvert-pipeline") == "Completed: 1 stages are up to date"
    assert (photographs / "own.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["evil.py"]


def test_an_extraction_takes_the_photographs_of_the_pipeline_by_default(ui: Ui, photographs: Path) -> None:
    state = ui.run("extract/ganvert-extraction", method="few")
    assert state == f"Completed: 7 pictures: {photographs / 'data' / 'extracted'}"


def test_the_sample_of_an_extraction_is_a_picture_and_no_text(ui: Ui, chromium: Any) -> None:
    found, *_ = ui.ask("POST", "/artifacts/filter", {"artifacts": {"key": {"any_": ["extraction-sample"]}}}).json()
    chromium.open((ui.home / "ganvert" / f"ui-{ui.address.rpartition(':')[2]}.html").as_uri())
    assert chromium.shows("Event Feed")
    chromium.open(f"{ui.address}/artifacts/artifact/{found['id']}")
    assert chromium.shows("crops, and beside each what its code draws")
    picture = "[...document.images].some(image => image.src.startsWith('data:image/jpeg') && image.naturalWidth > 0)"
    assert within(30, lambda: chromium.run(picture))
    assert "base64" not in chromium.run("document.body.innerText")


def test_a_taken_port_is_refused_at_once(ui: Ui, tmp_path: Path) -> None:
    port = ui.address.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "flows.ui", "--port", port],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and f"127.0.0.1:{port}: Address already in use" in done.stderr
    assert ui.ask("GET", "/admin/version").status_code == 200


def test_a_killed_ui_leaves_no_process_and_no_port(ui: Ui, photographs: Path) -> None:
    """The last test: an extraction is at work, three processes below the one that is killed."""
    deployment = ui.deployment("extract/ganvert-extraction")["id"]
    body = {"parameters": {"method": "long"}, "state": {"type": "SCHEDULED"}}
    assert ui.ask("POST", f"/deployments/{deployment}/create_flow_run", body).status_code == 201
    locks = photographs / ".work" / "extraction"

    def at_work() -> list[psutil.Process]:
        children = psutil.Process(ui.process.pid).children(recursive=True)
        held = set[str]()
        for child in children:
            with contextlib.suppress(OSError, psutil.Error):
                held |= {str(file.readlink()) for file in Path(f"/proc/{child.pid}/fd").iterdir()}
        return children if any(file.startswith(str(locks)) and "/locks/" in file for file in held) else []

    processes = within(120, at_work)
    assert processes
    ui.process.send_signal(signal.SIGKILL)
    assert within(60, lambda: not any(process.is_running() for process in processes)), processes
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{ui.address}/api/health")
