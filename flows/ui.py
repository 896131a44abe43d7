"""Run a local Prefect server with its UI and the flows registered in it, until Ctrl-C: `python -m flows.ui`.

The server (`flows.server`) asks every request for a secret that is made at each start; `flows.serve` runs the flows.
Both are child processes that end when this one does, however it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from flows import (
    command,
    secret,
    settings,  # noqa: F401  (before prefect, which reads its environment when imported)
)
from flows.folders import add_options, serve_arguments

STARTUP_TIMEOUT = 180.0  # seconds; the first start makes the database


def main(argv: list[str] | None = None) -> int:
    """Start the server, wait until it answers, serve the flows; end all on Ctrl-C. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.ui", description="Prefect's UI with the flows in it.")
    parser.add_argument("--port", type=int, default=4200, help="of the server on 127.0.0.1 (default: 4200)")
    add_options(parser)
    arguments = parser.parse_args(argv)
    address = f"http://127.0.0.1:{arguments.port}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that both children are ended and waited for
    os.environ["PREFECT_API_URL"] = f"{address}/api"
    os.environ[secret.SERVER] = os.environ[secret.CLIENT] = secret.new()
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(_child("flows.server", "--port", str(arguments.port)))
            if not _ready(server, address):
                sys.stderr.write(f"flows.ui: the Prefect server did not start at {address}; choose another --port?\n")
                return 1
            # The server removes it too, unless it had to be killed.
            stack.callback(secret.page(arguments.port).unlink, missing_ok=True)
            runner = stack.enter_context(_child("flows.serve", *serve_arguments(arguments)))
            sys.stdout.write(
                f"\nPrefect UI: open {secret.page(arguments.port).as_uri()}\n"
                f"or copy this address into a browser: {secret.link(arguments.port, os.environ[secret.SERVER])}\n"
                "Both hold the secret that every request needs. Ctrl-C ends the server and all runs.\n"
            )
            sys.stdout.flush()
            while server.poll() is None and runner.poll() is None:
                time.sleep(0.2)
            sys.stderr.write("flows.ui: the server or the runner of the flows has ended; its output is above\n")
        except KeyboardInterrupt:
            return 0
    return 1


@contextlib.contextmanager
def _child(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a module as a child process; end it, and wait for it, when the block ends."""
    process = command.start([sys.executable, "-m", module, *arguments], Path.cwd())
    try:
        yield process
    finally:
        command.end(process)
        command.wait(process)


def _ready(server: subprocess.Popen[bytes], address: str) -> bool:
    """Wait until our server answers. Once it has published our secret, it has the port, and nobody else answers."""
    deadline = time.monotonic() + STARTUP_TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError):  # refused, or an HTTP error while it is starting
            if secret.published(address) == os.environ[secret.SERVER]:
                urllib.request.urlopen(f"{address}/api/health", timeout=2).close()
                return True
        time.sleep(0.2)
    return False


if __name__ == "__main__":
    sys.exit(main())
