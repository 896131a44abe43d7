"""Fixtures of the tests that start Prefect servers."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
PICTURES = 6  # beside them one that is unreadable, and one that is there twice


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory, tiny_generator_file: Path) -> Path:
    """A folder with params.yaml, a 64 px generator and photographs, one of them unreadable and one there twice."""
    root = tmp_path_factory.mktemp("extraction")
    (root / "photos").mkdir()
    numbers = np.random.default_rng(0)
    for i in range(PICTURES):
        picture = Image.fromarray(numbers.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        picture.resize((70, 80)).save(root / "photos" / f"{i}.png")
    (root / "photos" / "bad.png").write_bytes(b"no picture")
    (root / "photos" / "zz.png").write_bytes((root / "photos" / "0.png").read_bytes())
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    loss = {"loss": "mse", "weight": 1.0, "resolution": None}
    few = {"inverter": "optimise", "space": "w", "init": "mean", "steps": 2, "lr": 0.05, "objective": [loss]}
    params |= {"device": "cpu", "generator": {"path": str(tiny_generator_file), "label": None}}
    params["align"] |= {"recipe": "center", "photos": ["photos"]}
    params["invert"] |= {"first": {}, "options": {"few": few, "long": {**few, "steps": 1_000_000}}}
    params["invert"]["methods"] = {"few": str(tiny_generator_file)}
    params["train_encoder"]["encoders"] = {}
    params["discover"] = {"methods": {"ganspace": {"components": 2}}}
    params["edit"] |= {"method": "few", "edits": {}}
    params["evaluate"] |= {"metrics": ["mse_64"], "attributes": []}
    params["extract"] |= {"metrics": ["mse_64"]}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return root


class Chromium:
    """A headless Chromium with one page, for which `evil.example` is this machine.

    Attributes:
        events: what the browser has reported since the last `open`.
    """

    def __init__(self, program: str, home: Path) -> None:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += ["--host-resolver-rules=MAP evil.example 127.0.0.1", "--remote-debugging-port=0"]
        self.process = subprocess.Popen(
            [program, *options, "--no-proxy-server", f"--user-data-dir={home}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.events: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        try:
            port, path = self._address(home / "DevToolsActivePort")
            self._socket = connect(f"ws://127.0.0.1:{port}{path}", max_size=None, open_timeout=60, ping_interval=None)
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            self._session = {"sessionId": session}
            for domain in ("Page", "Runtime", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.process.kill()
            raise

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the answer to a command of the browser's debugging protocol."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params, **self._session}))
        while (message := json.loads(self._socket.recv(timeout=120))).get("id") != number:
            self.events.append(message)
        assert "error" not in message, message
        return dict(message["result"])

    def open(self, url: str) -> None:
        """Open a page, and wait until its document has been read."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + 60
        while not self.run("document.readyState != 'loading' && document.body != null"):
            assert time.monotonic() < deadline, f"{url}: its document does not come to an end"
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page, once its promise is kept."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def shows(self, text: str) -> bool:
        """Wait until a text is on the page; return whether it is."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            if text in (self.run("document.body?.innerText ?? ''") or ""):
                return True
            time.sleep(0.2)
        return False

    def requests(self) -> set[str]:
        """Return the addresses asked for since the last `open`, without those that the policy of the page stops."""
        of = {event["params"]["requestId"]: event["params"] for event in self._named("Network.requestWillBeSent")}
        stopped = {event["params"]["requestId"] for event in self._named("Network.loadingFailed")
                   if event["params"].get("blockedReason") == "csp"}  # fmt: skip
        return {params["request"]["url"] for number, params in of.items() if number not in stopped}

    def _named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["method"] == name]

    def _address(self, file: Path) -> list[str]:
        deadline = time.monotonic() + 60
        while not file.exists() or len(file.read_text().split()) != 2:
            assert self.process.poll() is None and time.monotonic() < deadline, "Chromium did not start"
            time.sleep(0.05)
        return file.read_text().split()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser; the test is skipped where none is installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed")
    browser = Chromium(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.process.terminate()
    browser.process.wait()
