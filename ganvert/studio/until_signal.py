"""A server that runs until a signal ends it, and says which."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["run_until_signal", "say"]

_TICKS = 600  # of the server, ten a second, between two looks for sessions whose time is over
#: What ends a studio.
_SIGNALS = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "SIGTERM: another program, or the end of the system",
    signal.SIGHUP: "SIGHUP: its terminal was closed; under nohup, tmux or a service it outlives it",
}


def run_until_signal(
    app: Any, listening: socket.socket, end: Callable[[], None], every_minute: Callable[[], None]
) -> int:
    """Run an ASGI application on a socket until a signal ends it; say on stderr what ended it.

    Args:
        app: the application.
        listening: the socket.
        end: called before connections are closed.
        every_minute: called so often, in a thread.

    Returns:
        The exit code: 0 after Ctrl-C, that of a shell after another signal, 1 where the server ended by itself.
    """
    import uvicorn

    ended_by: list[int] = []

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # The base class would raise the signal again, whose own handler ends the process at once.
            if not ended_by:
                say(f"ended by {_SIGNALS[signal.Signals(sig)]}")
            self.force_exit = bool(ended_by)
            self.should_exit = True
            ended_by.append(sig)

        async def on_tick(self, counter: int) -> bool:
            if counter % _TICKS == 0:
                await asyncio.to_thread(every_minute)
            return await super().on_tick(counter)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            end()  # pages let go of their streams, which would be waited for
            await super().shutdown(sockets)

    server = Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=5, timeout_graceful_shutdown=2))
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup has it ignored
        signal.signal(signal.SIGHUP, server.handle_exit)
    server.run([listening])
    if not ended_by:
        say("its server has ended by itself; the lines above say why, if anything does")
        return 1
    return 0 if ended_by[0] == signal.SIGINT else 128 + ended_by[0]


def say(line: str) -> None:
    """Print a line on stderr, as far as there is one."""
    with contextlib.suppress(OSError):  # the terminal may be closed
        print(f"ganvert studio: {line}", file=sys.stderr, flush=True)  # noqa: T201
