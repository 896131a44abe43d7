"""The studio's server: Gradio's application behind a fence, and the routes that photographs take in and pictures out.

Gradio would keep uploads and pictures in files, and answers every page of every browser. Here photographs come in and
pictures go out through routes of our own; the fence refuses Gradio's routes for files, any Host and Origin
but its own, and on an open network every request without the password.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import faulthandler
import hmac
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ganvert.base.errors import InputError, UnsupportedError
from ganvert.base.files import sweep_temporary, temporary_prefix
from ganvert.studio.people import ROLES
from ganvert.studio.session import Sessions
from ganvert.studio.until_signal import run_until_signal, say

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["MOST_BYTES", "Fence", "bind", "make_app", "new_password", "serve"]

MOST_BYTES = 64 << 20  # of an uploaded photograph
_NAME = "ganvert-studio"  # of temporary folders
_LEAVING = 10.0  # seconds in which the connection of a page that was left closes, on a busy machine too
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
#: Those of Gradio's own routes that the page uses. Others read or write files, fetch addresses, or show what others do.
_OPEN = ("queue/join", "queue/data", "heartbeat/", "startup-events", "theme.css", "app_id", "info", "cancel", "reset")
_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
log = logging.getLogger(__name__)


class Fence:
    """An ASGI application around another that serves its own page at its own address, to nobody else's pages.

    Args:
        app: what is fenced in.
        hosts: the Host headers that are answered; None for any, behind a password.
        password: that every request has to carry (HTTP Basic, user ``ganvert``); None for none.
    """

    def __init__(self, app: Any, hosts: frozenset[str] | None, password: str | None) -> None:
        self.app, self.hosts = app, hosts
        self._wanted = None if password is None else base64.b64encode(f"ganvert:{password}".encode()).decode()

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer a request that is refused; pass all others on."""
        from starlette.responses import PlainTextResponse

        if scope["type"] == "websocket":  # the page uses none
            await send({"type": "websocket.close", "code": 1008, "reason": "no web sockets here"})
        elif scope["type"] != "http":
            await self.app(scope, receive, send)
        elif refusal := self.refusal(scope["path"], scope["headers"]):
            status, text = refusal
            headers = {"WWW-Authenticate": 'Basic realm="ganvert", charset="UTF-8"'} if status == 401 else {}
            await PlainTextResponse(text, status, headers)(scope, receive, _with_headers(send))
        else:
            try:
                await self.app(scope, receive, _with_headers(send))
            except RuntimeError:
                # Gradio's stream of answers can end so once its page was left: nobody reads it any more.
                if not scope["path"].endswith("/queue/data") or not await _left(receive):
                    raise

    def refusal(self, path: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, str] | None:
        """Return status and text of the answer to a request that is refused, None if it is not."""
        values: dict[bytes, list[str]] = {}
        for name, value in headers:
            values.setdefault(name.lower(), []).append(value.decode("latin-1"))
        hosts = values.get(b"host", [])
        if len(hosts) != 1 or (self.hosts is not None and hosts[0] not in self.hosts):
            return 403, f"this studio is not {', '.join(hosts) or 'there for requests without a host'}"
        # Without a password the page comes by HTTP, and HTTPS of the same name is another server; a proxy before a
        # studio with one may add HTTPS.
        own = {f"{scheme}://{hosts[0]}" for scheme in (("http",) if self.hosts is not None else ("http", "https"))}
        if any(origin not in own for origin in values.get(b"origin", [])):
            return 403, "pages of other sites may not use this studio"
        # A page of another site may send some requests without an Origin; browsers that do so say where they are from.
        if any(site not in ("same-origin", "none") for site in values.get(b"sec-fetch-site", [])):
            return 403, "pages of other sites may not use this studio"
        if self._wanted is not None:
            (given,) = values.get(b"authorization", [""])[:1]
            kind, _, secret = given.partition(" ")
            if kind.lower() != "basic" or not hmac.compare_digest(secret.strip().encode(), self._wanted.encode()):
                return 401, "this studio wants the user ganvert and the password that it printed when it started"
        # From its first mention on: a file or an address that a request names may hold the prefix once more.
        _, called, route = path.partition("/gradio_api/")
        if called and not route.startswith(_OPEN):
            return 404, "this studio keeps no files and has no other routes"
        return None


async def _left(receive: _Receive) -> bool:
    """Return whether the client of a request is gone."""
    try:
        return (await asyncio.wait_for(receive(), _LEAVING))["type"] == "http.disconnect"
    except TimeoutError:
        return False


def _with_headers(send: _Send) -> _Send:
    names = {name for name, _ in _HEADERS}

    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in names]
            message = {**message, "headers": [*kept, *_HEADERS]}
        await send(message)

    return with_headers


def _previews(handlers: Any) -> Callable[[Request], Awaitable[Response]]:
    """Return the route that draws what a slider shows while it moves."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse, PlainTextResponse

    async def preview(request: Request) -> Response:
        asked = request.query_params
        try:
            amount = float(asked["amount"])
        except (KeyError, ValueError):
            return PlainTextResponse("wanted a direction and an amount", 400)
        token, direction = request.headers.get("x-studio"), asked.get("direction", "")
        view = await run_in_threadpool(handlers.preview, direction, token, amount)
        return JSONResponse(view, headers={"Cache-Control": "no-store"})

    return preview


def make_app(page: Any, sessions: Sessions, hosts: frozenset[str] | None, password: str | None) -> Fence:
    """Return the application that serves a page.

    Args:
        page: Gradio's blocks, how they look, what the controls do, and whether the server is ending.
        sessions: whose photographs and pictures the routes carry.
        hosts: see :class:`Fence`.
        password: see :class:`Fence`.
    """
    import gradio
    from starlette.applications import Starlette
    from starlette.responses import FileResponse, PlainTextResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    async def photo(request: Request) -> Response:
        data = bytearray()
        async for piece in request.stream():
            data += piece
            if len(data) > MOST_BYTES:
                return PlainTextResponse(
                    f"The file is larger than {MOST_BYTES >> 20} MB: save a smaller copy of the photograph.", 413
                )
        session, place = sessions.of(request.headers.get("x-studio")), request.headers.get("x-studio-place", "photo")
        if place != "folder":
            if place not in ("photo", *ROLES):
                return PlainTextResponse("there is no such place for a photograph", 404)
            session.inbox[place] = bytes(data)
            return PlainTextResponse("ok")
        try:
            session.folder.add(unquote(request.headers.get("x-studio-name", "photograph")), bytes(data))
        except InputError as error:
            return PlainTextResponse(str(error), 413)
        return PlainTextResponse("ok")

    async def picture(request: Request) -> Response:
        found = sessions.picture(request.path_params["name"])
        if found is None:
            return PlainTextResponse("there is no such picture any more", 404)
        kind, data = found
        headers = {"Cache-Control": "private, max-age=3600, immutable"}
        if isinstance(data, bytes):
            return Response(data, media_type=kind, headers=headers)
        if not data.is_file():
            return PlainTextResponse("there is no such file any more", 404)
        return FileResponse(data, media_type=kind, headers={"Cache-Control": "no-store"})

    app = Starlette(
        routes=[
            Route("/studio/photo", photo, methods=["POST"]),
            Route("/studio/picture/{name}", picture),
            Route("/studio/preview", _previews(page.handlers)),
            Mount("/studio/examples", StaticFiles(packages=[("ganvert.studio", "examples")])),
        ]
    )
    gradio.mount_gradio_app(app, page.blocks, "/", **page.looks)  # type: ignore[arg-type]
    return Fence(app, hosts, password)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Raises:
        UnsupportedError: the port is taken.
        InputError: this machine has no such address.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port whose last server has just ended is free
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        if isinstance(error, PermissionError) or error.errno == errno.EADDRINUSE:
            raise UnsupportedError(f"--port {port}: {error.strerror}; choose another one") from error
        raise InputError(f"--host {host}: {error.strerror or error}; wanted an address of this machine") from error
    except OverflowError as error:
        listening.close()
        raise InputError(f"--port: wanted 0 to 65535, got {port}") from error
    return listening


def serve(page: Any, sessions: Sessions, listening: socket.socket, password: str | None) -> int:
    """Serve a page on a socket until a signal ends it, then end all work; say on stderr what ended it.

    Returns:
        The exit code: 0 after Ctrl-C, that of a shell after another signal.
    """
    # SIGKILL leaves no time for a word: the next studio finds this folder, and says it in its place.
    for process in sweep_temporary(_NAME):
        say(f"the last one (process {process}) was killed, for want of memory if by the system; its files are deleted")
    alive = tempfile.mkdtemp(prefix=temporary_prefix(_NAME))
    faulthandler.enable(2)  # a library that crashes says where, on stderr
    host, port = listening.getsockname()[:2]
    hosts = None if password is not None else _own_hosts(host, port)
    app = make_app(page, sessions, hosts, password)
    try:
        code = run_until_signal(app, listening, page.ending.set, sessions.forget)
    finally:
        all_ended = sessions.end()
        shutil.rmtree(alive, ignore_errors=True)
    if not all_ended:  # Python would end with an abort where a thread still computes
        sys.stdout.flush()
        os._exit(code)
    return code


def _own_hosts(host: str, port: int) -> frozenset[str]:
    """Return the Host headers of requests to an address of this machine; at HTTP's own port browsers name no port."""
    names = {host, "localhost"}
    return frozenset({f"{name}:{port}" for name in names} | (names if port == 80 else set()))


def new_password() -> str:
    """Return a password for a studio on an open network."""
    return secrets.token_urlsafe(12)
