"""Prefect's server for one user: on the loopback interface, behind a fence: `python -m flows.server --port PORT`.

Prefect's own server answers every page of every browser. This one is the same application, with

- a secret on every request to the API (Prefect's auth string, from the environment);
- a fence that refuses any Host but its own (a foreign name that resolves to 127.0.0.1) and any Origin but its own;
- headers that keep its pages out of frames, and that let them load nothing from elsewhere: no script and no picture
  that came with an artifact, and not the usage statistics that the UI would send whatever Prefect's settings say;
- the page `/open`, which hands the secret from the link's fragment to the UI.

`flows.ui` starts it.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import socket
import sys
from typing import TYPE_CHECKING

from flows import (
    secret,
    settings,  # noqa: F401  (before prefect, which reads its environment when imported)
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Where Prefect's UI looks for the secret: its login page would put it there too. `replace` leaves no entry in the
# browser's history. Local storage, and not a cookie: browsers send a cookie to every port of the host, and so to the
# servers of other users of this machine.
_SCRIPT = """
if (location.hash) localStorage.setItem("prefect-password", btoa(decodeURIComponent(location.hash.slice(1))));
location.replace("/");
"""
_PAGE = f'<!doctype html><meta charset="utf-8"><title>ganvert</title><script>{_SCRIPT}</script>'
_SCRIPT_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}'"


def policy(origin: str, script: str) -> str:
    """Return the Content-Security-Policy of a page: what it may load, and that no other page may frame it."""
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src {script}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            f"connect-src 'self' {origin.replace('http', 'ws', 1)}",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


class Fence:
    """An ASGI application around another that serves its own pages at its own address, and nobody else's.

    It is there beside the secret because a browser that holds the secret could be used by another page: one in whose
    frame the UI lies, or one under a name that the attacker's DNS points at this machine.
    """

    def __init__(self, app: ASGIApp, origin: str) -> None:
        """Fence in `app`, which is served at `origin` (http://127.0.0.1:4200)."""
        self.app, self.origin = app, origin
        self.host = origin.removeprefix("http://")
        self.headers = [
            (b"x-frame-options", b"DENY"),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused, and `/open`; pass all others on."""
        from starlette.responses import HTMLResponse, PlainTextResponse

        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
        elif refusal := self.refusal(scope["headers"]):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": refusal[:120]})  # answers 403
            else:
                await PlainTextResponse(refusal, 403)(scope, receive, self._with_headers(send))
        elif scope["type"] == "http" and scope["path"] == "/open":
            page = HTMLResponse(_PAGE, headers={"cache-control": "no-store"})
            await page(scope, receive, self._with_headers(send, _SCRIPT_SOURCE))
        else:
            await self.app(scope, receive, self._with_headers(send))

    def refusal(self, headers: list[tuple[bytes, bytes]]) -> str | None:
        """Return why a request with these headers is refused, None if it is not."""
        values = {name: [value.decode("latin-1") for key, value in headers if key == name] for name, _ in headers}
        if (hosts := values.get(b"host", [])) != [self.host]:
            return f"this server is {self.origin}, and was asked for as {', '.join(hosts) or 'nothing'}"
        if (origins := values.get(b"origin", [self.origin])) != [self.origin]:
            return f"pages of {', '.join(origins)} may not use this server"
        return None

    def _with_headers(self, send: Send, script: str = "'self' 'unsafe-eval'") -> Send:
        headers = [(b"content-security-policy", policy(self.origin, script).encode()), *self.headers]
        names = {name for name, _ in headers}

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if name.lower() not in names]
                message = {**message, "headers": [*kept, *headers]}
            await send(message)

        return with_headers


def bind(port: int) -> socket.socket:
    """Return a socket that listens on the loopback interface; raises OSError if the port is taken."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port whose last server has just ended is free
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


def main(argv: list[str] | None = None) -> int:
    """Serve until interrupted; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.server", description="Prefect's server for one user.")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    port: int = parser.parse_args(argv).port
    try:
        listening = bind(port)  # first of all: from here on no other user can answer in our place
    except OSError as error:
        sys.stderr.write(f"flows.server: 127.0.0.1:{port}: {error.strerror}\n")
        return 1
    origin = f"http://127.0.0.1:{port}"
    os.environ["PREFECT_UI_API_URL"] = f"{origin}/api"  # or the UI connects to port 4200
    os.umask(0o077)
    import uvicorn
    from prefect.server.api.server import create_app

    app = Fence(create_app(final=True), origin)
    page = secret.publish(port, os.environ[secret.SERVER])
    config = uvicorn.Config(app, log_level="warning", timeout_keep_alive=5, timeout_graceful_shutdown=2)
    try:
        uvicorn.Server(config).run([listening])
    except KeyboardInterrupt:  # raised again once everything is closed
        pass
    finally:
        page.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
