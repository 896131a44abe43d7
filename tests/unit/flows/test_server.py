"""The fence around Prefect's server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from flows import server

OWN = "http://127.0.0.1:4200"


async def application(scope, receive, send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await PlainTextResponse("inside", headers={"X-Frame-Options": "ALLOW"})(scope, receive, send)


def ask(path: str, **headers: str) -> httpx.Response:
    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(server.Fence(application, OWN))
        async with httpx.AsyncClient(transport=transport, base_url=OWN) as client:
            return await client.post(path, headers=headers)

    return asyncio.run(post())


def connect(**headers: str) -> str:
    """Open a web socket; return the type of the server's first message."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    named = {"host": "127.0.0.1:4200", **headers}
    scope = {"type": "websocket", "path": "/", "headers": [(k.encode(), v.encode()) for k, v in named.items()]}
    asyncio.run(server.Fence(application, OWN)(scope, receive, send))
    return str(messages[0]["type"])


ALLOWED = [{}, {"origin": OWN}]
REFUSED = [
    {"host": "evil.example:4200"},
    {"host": "localhost:4200"},
    {"host": "127.0.0.1"},
    {"host": ""},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:4201"},
    {"origin": "http://127.0.0.1:4200.evil.example"},
    {"origin": ""},
]


@pytest.mark.parametrize("path", ["/", "/api/flow_runs/filter", "/open"])
def test_own_host_and_own_origin_alone_are_served(path: str) -> None:
    for headers in ALLOWED:
        assert ask(path, **headers).status_code == 200
    for headers in REFUSED:
        answer = ask(path, **headers)
        assert answer.status_code == 403 and "inside" not in answer.text, headers


def test_the_same_holds_for_web_sockets() -> None:
    assert {connect(**headers) for headers in ALLOWED} == {"websocket.accept"}
    assert {connect(**headers) for headers in REFUSED} == {"websocket.close"}


def test_two_hosts_or_origins_are_not_one() -> None:
    fence = server.Fence(application, OWN)
    host = (b"host", b"127.0.0.1:4200")
    assert fence.refusal([host]) is None
    assert fence.refusal([])
    assert fence.refusal([host, host])
    assert fence.refusal([host, (b"origin", OWN.encode()), (b"origin", b"http://evil.example")])


def test_pages_cannot_be_framed_and_load_nothing_from_elsewhere() -> None:
    headers = ask("/").headers
    assert headers["X-Frame-Options"] == "DENY"
    policy = headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy and "script-src 'self'" in policy and "img-src 'self' data:" in policy
    assert set(re.findall(r"\w+://\S+", policy)) == {"ws://127.0.0.1:4200;"}
    assert "unsafe-inline" not in re.findall(r"script-src [^;]*", policy)[0]


def test_no_answer_of_any_kind_can_be_used_by_another_page() -> None:
    for answer in (ask("/"), ask("/open"), ask("/", origin="http://evil.example")):
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"  # or HTML is taken for a script
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_the_page_that_takes_the_secret_runs_its_own_script_alone() -> None:
    answer = ask("/open")
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_taken_port_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with server.bind(0) as first:
        port = first.getsockname()[1]
        assert server.main(["--port", str(port)]) == 1
        assert f"127.0.0.1:{port}: Address already in use" in capsys.readouterr().err
        assert first.getsockname()[0] == "127.0.0.1"
